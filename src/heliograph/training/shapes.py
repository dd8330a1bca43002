"""Lines of a shape seen before are read by plan: the same as the parser says, many times faster.

    shapes = Shapes(parse_line)
    shapes.read(blob, ends, skipped)  →  Readings of each line, made when asked for

A job prints millions of lines that differ in digits alone. Once SIGHTINGS of such a line have come, a
plan for them is learned from the parser itself (`training.lessons`). Lines of which none can be learned
are always parsed. And one of some thousand lines that are read by plan is parsed all the same, so
that a plan that is wrong after all is found, forgotten and counted (`disagreed`).

Lines that say nothing, whatever their numbers are and however many digits they have, are known by
their *form*, in which each number is one `0`: a port or a pid of another length is no new shape. Not
those with a word that events have.

The parser must be a function of the line alone. For one thread.
"""

from collections.abc import Callable, Sequence

from heliograph.kernels import log_shapes as kernel
from heliograph.kernels.log_shapes import Memo, Plan, Readings
from heliograph.training.events import hinted
from heliograph.training.lessons import (
    LESSON_BYTES_MAX,
    RUNS_MAX,
    form_of,
    learn,
    quiet_at_any_length,
    same,
)
from heliograph.training.parse import Parsed, none

# What says nothing: one for all, so that it is told by being the same.
QUIET = none(None)

SIGHTINGS = 16
# Lines without a plan for each that is learned from: learning costs some hundred parses. Many lines
# with a plan are as much work as one without; and what was not spent so, LESSONS_AT_ONCE at most, may
# be later: a job that begins, or counts to 100000, prints some new shapes at once.
LINES_PER_LESSON = 256
PLANNED_AS_ONE = 32
LESSONS_AT_ONCE = 4
# Bytes of a line times its numbers: a lesson of so much is a usual one, of more that many.
LESSON_WORK = 8192
# Masks that are counted; one more, and counting begins anew.
SEEN_MAX = 8192
# Forms of lines that say nothing; one more forgets them all.
FORMS_MAX = 8192


class Shapes:
    """Reads lines as *parse* does, which any thread may call; who says nothing is QUIET itself."""

    def __init__(self, parse: Callable[[str], Parsed]) -> None:
        self._parse = parse
        self._memo = Memo(self._unknown, self._plain, self._check, QUIET)
        self._seen: dict[bytes, int] = {}
        self._quiet: set[bytes] = set()
        self._quiet_hits = 0
        # Lines that no lesson was for, and the lines with a plan that were counted among them.
        self._unspent = LESSONS_AT_ONCE * LINES_PER_LESSON
        self._counted = 0

    @property
    def disagreed(self) -> int:
        """Lines of which it was found that their plan was wrong."""
        return self._memo.disagreed

    @property
    def planned(self) -> int:
        """Lines read by plan."""
        return self._memo.hits

    def read(self, blob: bytes, ends: Sequence[int], skipped: bytes) -> Readings:
        """What each line of *blob* says, that ends at *ends*; None where *skipped* is not 0."""
        return self._memo.read(blob, ends, skipped)

    def one(self, text: str) -> Parsed:
        """What *text* says."""
        try:
            found: Parsed = self._memo.one(text.encode())
        except UnicodeEncodeError:
            found = self._parse(text)
        return found

    def _plain(self, text: bytes) -> Parsed:
        said = self._parse(text.decode("utf-8", "surrogatepass"))
        return QUIET if said == QUIET else said

    def _unknown(self, text: bytes, mask: bytes) -> Parsed:
        quiet = self._says_nothing(text)
        said = QUIET if quiet else self._plain(text)
        self._count()
        seen = self._seen.get(mask, 0) + 1
        if seen < SIGHTINGS or (not quiet and self._unspent < LINES_PER_LESSON):
            if seen == 1 and len(self._seen) >= SEEN_MAX:
                self._seen.clear()
            self._seen[mask] = seen
            return said
        self._seen.pop(mask, None)
        if quiet:
            self._memo.put(mask, self._memo.spans(mask), text, Plan(QUIET, (), (), (), None))
        else:
            self._learn(text, mask)
        return said

    def _count(self) -> None:
        """A line without a plan came, after some with one."""
        as_many = (self.planned - self._counted) // PLANNED_AS_ONE
        self._counted += as_many * PLANNED_AS_ONE
        most = LESSONS_AT_ONCE * LINES_PER_LESSON
        self._unspent = min(self._unspent + 1 + as_many, most)

    def _says_nothing(self, text: bytes) -> bool:
        """Whether lines of *text*'s form are known to say nothing; one in many is parsed as well."""
        form = form_of(text)
        if form not in self._quiet or len(text) > LESSON_BYTES_MAX:
            return False
        self._quiet_hits += 1
        if self._quiet_hits % kernel.CHECKED_EVERY == 0 and self._plain(text) is not QUIET:
            self._quiet.discard(form)
            return False
        return True

    def _learn(self, text: bytes, mask: bytes) -> None:
        self._unspent -= LINES_PER_LESSON * _lessons_worth(text)
        lesson = learn(text, self._plain, literal=self._memo.spans(mask))
        if lesson is None:
            self._memo.refuse(mask)
            return
        self._memo.put(mask, lesson.literal, text, lesson.plan)
        if (
            lesson.plan.template is QUIET
            and not lesson.literal
            # Several numbers may have to be of one length each: an Xid of no possible device, which
            # tells nothing, must not hide those of real ones.
            and not hinted(text.decode("utf-8", "replace"))
            and quiet_at_any_length(text, self._plain)
        ):
            if len(self._quiet) >= FORMS_MAX:
                self._quiet.clear()
            self._quiet.add(form_of(text))

    def _check(self, text: bytes, said: Parsed) -> Parsed:
        right = self._plain(text)
        if same(said, right):
            return said
        self._quiet.discard(form_of(text))
        return right


def _lessons_worth(text: bytes) -> int:
    """Of how many usual lessons the work is that one of *text* takes: each of its numbers is changed,
    and all of it read again. More than was saved is owed, and later lessons wait for it."""
    size, numbers = len(text), form_of(text).count(b"0")
    if size > LESSON_BYTES_MAX or numbers > RUNS_MAX:
        return 1
    return max(1, size * numbers // LESSON_WORK)
