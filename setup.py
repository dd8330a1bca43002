"""Compiles the kernels where a C compiler is at hand; without one the same files run as Python.

Each kernel is a plain `.py` with a `.pxd` beside it, so there is one text and two speeds.
"""

from pathlib import Path

from setuptools import setup

KERNELS = Path("src/heliograph/kernels")

# Types come from the .pxd alone: an annotation says what Python users pass, not what C holds.
DIRECTIVES = {"language_level": 3, "annotation_typing": False}


def extensions():
    """The kernels as optional extensions; none where Cython itself is missing."""
    try:
        from Cython.Build import cythonize
    except ImportError:
        return []
    sources = [str(pxd.with_suffix(".py")) for pxd in sorted(KERNELS.glob("*.pxd"))]
    built = cythonize(sources, compiler_directives=DIRECTIVES) if sources else []
    for extension in built:
        # After cythonize, which drops it: a failed compile must not fail the install.
        extension.optional = True
    return built


setup(ext_modules=extensions(), package_dir={"": "src"})
