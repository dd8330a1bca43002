import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.clock import SystemClock
from heliograph.notify import facts, template_syntax
from heliograph.notify.templates import Templates
from tests.notify import recorded
from tests.notify.fakes import alert, message

KNOWN = facts.of(
    message(
        alert("OOM", severity="critical", pod="llm-0", annotations={"summary": "a <b> & c"}),
        alert("OOM", severity="critical", pod="llm-1", ends_s=60),
    )
)


def render(text, **how):
    return Templates().render(text, KNOWN, **how)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain", "plain"),
        ("{{ .Status }}", "firing"),
        ("{{ .Status | toUpper }}", "FIRING"),
        ("{{.CommonLabels.alertname}}", "OOM"),
        ("[{{ .CommonLabels.nothing }}]", "[]"),
        ("{{ .Alerts | len }} {{ len .Alerts.Firing }} {{ .Alerts.Resolved | len }}", "2 1 1"),
        ("{{ range .Alerts }}{{ .Labels.pod }},{{ end }}", "llm-0,llm-1,"),
        ("{{ range $i, $a := .Alerts }}{{ $i }}={{ $a.Status }} {{ end }}", "0=firing 1=resolved "),
        ("{{ range .Alerts.Firing }}{{ else }}none{{ end }}", ""),
        ("{{ range .NoSuch }}{{ end }}", None),
        ("{{ range .CommonAnnotations.SortedPairs }}x{{ else }}none{{ end }}", "none"),
        ("{{ range $k, $v := .CommonLabels }}{{ $k }}:{{ $v }};{{ end }}", "alertname:OOM;severity:critical;"),
        ("{{ range .CommonLabels.SortedPairs }}{{ .Name }}={{ .Value }} {{ end }}", "alertname=OOM severity=critical "),
        ('{{ .CommonLabels.Names | join "," }}', "alertname,severity"),
        ('{{ join ", " .CommonLabels.Values }}', "OOM, critical"),
        ("{{ .CommonLabels.Remove .GroupLabels.Names }}", "map[severity:critical]"),
        ("{{ (index .Alerts 0).Annotations.summary }}", "a <b> & c"),
        ('{{ index .CommonLabels "severity" }}', "critical"),
        ('{{ if eq .Status "firing" "x" }}yes{{ else }}no{{ end }}', "yes"),
        ('{{ if ne .Status "firing" }}a{{ else if gt (len .Alerts) 1 }}b{{ else }}c{{ end }}', "b"),
        ('{{ if and .Status (not .CommonLabels.x) }}1{{ end }}{{ if or "" .CommonLabels.y }}2{{ end }}', "1"),
        ("{{ with .CommonLabels.severity }}<{{ . }}>{{ else }}-{{ end }}", "<critical>"),
        ("{{ with .CommonLabels.x }}{{ . }}{{ else }}-{{ end }}", "-"),
        ("{{ $n := len .Alerts }}{{ $n }}{{ $n = 7 }}{{ $n }}", "27"),
        ("{{ range .Alerts }}{{ $.Receiver }}{{ end }}", "teamteam"),
        ("a  {{- /* note }} */ -}}  b", "ab"),
        ("a {{- .Status -}} b", "afiringb"),
        ("{{ `raw {{`}}", "raw {{"),
        ('{{ "q\\"\\n\\u4f60" }}', 'q"\n你'),
        ('{{ printf "%s has %d (%5.1f%%) %-4s| %q %v" .Status 3 2.25 "x" "y" true }}', 'firing has 3 (  2.2%) x   | "y" true'),
        ('{{ reReplaceAll "l+m-(.)" "n$1" "llm-0" }}', "n0"),
        ('{{ if match "^ll" (index .Alerts 0).Labels.pod }}m{{ end }}', "m"),
        ('{{ "some words" | title }} {{ trimSpace " x " }}', "Some Words x"),
        ('{{ (index .Alerts 0).StartsAt.Format "2006-01-02 15:04:05 MST" }}', "2025-12-31 23:55:00 UTC"),
        ('{{ ((index .Alerts 0).StartsAt.Add 28800e9).Format "Jan 2, 3:04PM" }}', "Jan 1, 7:55AM"),
        ("{{ (index .Alerts 0).StartsAt }}", "2025-12-31 23:55:00 +0000 UTC"),
        ('{{ (index .Alerts 0).EndsAt.Format "2006" }}', "0001"),
        ('{{ tz "Asia/Shanghai" (index .Alerts 0).StartsAt | date "2006-01-02T15:04:05Z07:00" }}', "2026-01-01T07:55:00+08:00"),
        ("{{ humanizeDuration 93784 }} {{ humanizeDuration 0.25 }}", "1d 2h 3m 4s 250ms"),
        ('{{ define "t" }}<{{ . }}>{{ end }}{{ template "t" .Status }}', "<firing>"),
        ('{{ block "t" .Receiver }}[{{ . }}]{{ end }}', "[team]"),
        ('{{ stringSlice "a" "b" | join "+" }}', "a+b"),
        ("{{ toJson .CommonLabels }}", '{"alertname":"OOM","severity":"critical"}'),
        ('{{ urlquery "a b&c" }} {{ html "<" }}', "a+b%26c &lt;"),
        ('{{ slice "abc" 1 2 }}{{ len "你" }}', "b3"),
        ("{{ .ExternalURL }}/#/x?r={{ .Receiver | urlquery }}", "http://heliograph.example:8989/#/x?r=team"),
    ],
)  # fmt: skip
def test_the_subset(text, wanted):
    made = render(text)
    assert (made.text if not made.fault else None) == wanted, made.fault


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{{ title "gpu-node down" }}|{{ title "ABC dEF" }}', "Gpu-Node Down|Abc Def"),
        ('{{ title "foo_bar it\'s a.b c:d 1st 3d-x éa x/y ǆa" }}', "Foo_bar It's A.b C:d 1St 3D-X Éa X/Y ǅa"),
        ('{{ title "a1b2 n0de.1x (abc) \\"q\\" o\'clock\'s ’t" }}', "A1b2 N0de.1x (Abc) \"Q\" O'clock's ’T"),
        ("{{ 1e3 }} {{ 3.0 }} {{ 1.5e10 }} {{ 1e21 }} {{ 0.000001 }}", "1000 3 1.5e+10 1e+21 1e-06"),
        ("{{ 123456789.5 }} {{ 1e6 }} {{ -2.5 }} {{ 0.0001 }}", "1.234567895e+08 1e+06 -2.5 0.0001"),
        ('{{ print 1 2 }}|{{ print "a" 1 2 "b" }}|{{ print 1.5 true }}', "1 2|a1 2b|1.5 true"),
        ("{{ print .CommonLabels.Names 1 }}|{{ print nil 1 }}", "[alertname severity] 1|<nil> 1"),
        ('{{ printf "%x|%X|%c|%[2]d %[1]d" "hi" "hi" 65 }}', "6869|6869|A|%!d(string=hi) %!d(string=hi)"),
        ('{{ printf "%[2]s %[1]s" "a" "b" }}|{{ printf "%[1]s %s" "a" "b" }}', "b a|a b"),
        ('{{ printf "%[3]s" "a" }}|{{ printf "%[x]s" "a" }}', "%!s(BADINDEX)|%!s(BADINDEX)"),
        ('{{ printf "%q" .CommonLabels.Names }}', '["alertname" "severity"]'),
        ('{{ .CommonLabels.severity | printf "%q" }} {{ "a\\"\\té" | printf "%q" }}', '"critical" "a\\"\\té"'),
        ('{{ printf "%s|%d|%t|%f" 1 "a" "b" "c" }}', "%!s(int=1)|%!d(string=a)|%!t(string=b)|%!f(string=c)"),
        ('{{ printf "%d %d" 1 }}|{{ printf "x" 1 "a" true 2.5 }}', "1 %!d(MISSING)|x%!(EXTRA int=1, string=a, bool=true, float64=2.5)"),
        ('{{ printf "100%" }}|{{ printf "%z" 1 }}|{{ printf "%5t|%q" true true }}', "100%!(NOVERB)|%!z(int=1)| true|%!q(bool=true)"),
        ('{{ printf "%05d|%-5d|%+d|% d|%05s|%-5s|%.2s" -42 42 42 42 "ab" "ab" "abc" }}', "-0042|42   |+42| 42|000ab|ab   |ab"),
        ('{{ printf "%6.2f|%e|%g|%v|%G" 3.14159 2.5 100000000.0 0.1 1e-7 }}', "  3.14|2.500000e+00|1e+08|0.1|1E-07"),
        ('{{ printf "%+.1f|%08.3f|%.0f" 2.25 -3.14159 2.5 }}', "+2.2|-003.142|2"),
        ('{{ printf "%o|%b|%08b|%U|%x|%X" 8 5 5 8364 255 255 }}', "10|101|00000101|U+20AC|ff|FF"),
        ('{{ printf "%v %v" nil true }}|{{ printf "%s" nil }}', "<nil> true|%!s(<nil>)"),
        ('{{ printf "%v|%s" .CommonLabels .CommonLabels.SortedPairs }}', "map[alertname:OOM severity:critical]|[{alertname OOM} {severity critical}]"),
        ('{{ printf "% 05d|% 09.2f|% 012.5g|% 012U|% v|% +v" 1 2.5 123456.7 8364 7 -7 }}', " 0001| 00002.50| 01.2346e+05|      U+20AC| 7|-7"),
        ('{{ printf "%.2q|%05q" "abc" "a" }}', '"ab"|00"a"'),
        ('{{ printf "%.3v|%6v|%-3c|" "abcdef" "ab" 65 }}', "abc|    ab|A  |"),
        ('{{ reReplaceAll "(?P<host>[^:]+):.*" "${host}" "node1:9100" }}', "node1"),
        ('{{ reReplaceAll "([^:]+):.*" "$1x" "node1:9100" }}|{{ reReplaceAll "([^:]+):.*" "${1}x" "node1:9100" }}', "|node1x"),
        ('{{ reReplaceAll "a" "$$" "bab" }}|{{ reReplaceAll "a" "$" "bab" }}|{{ reReplaceAll "a" "${" "bab" }}', "b$b|b$b|b${b"),
        ('{{ reReplaceAll "(a)(z)?" "[$2$3$1]" "bab" }}|{{ reReplaceAll "a" "\\\\1" "bab" }}', "b[a]b|b\\1b"),
        ('{{ reReplaceAll "(?P<q>b)" "$q-$q_" "abc" }}|{{ reReplaceAll "(a)" "$01" "bab" }}', "ab-c|bb"),
        ('{{ reReplaceAll "a*" "-" "baab" }}|{{ reReplaceAll "a|" "-" "bab" }}', "-b-b-|-b-b-"),
        ('{{ (index .Alerts 0).StartsAt.Format "Jan _2 15:04:05|__2 002 -07 Z07 -070000 Z0700" }}', "Dec 31 23:55:00|365 365 +00 Z +000000 Z"),
        ('{{ (tz "Asia/Kolkata" (index .Alerts 0).StartsAt).Format "Jan _2|__2 002 -07 Z07 -070000 -07:00:00 Z07:00" }}', "Jan  1|  1 001 +05 +05 +053000 +05:30:00 +05:30"),
        ('{{ (index .Alerts 0).StartsAt.Format "_2006 Janu Mond Monday January 2/1/06 3PM 03pm .000 .999 ,00 .0001" }}', "_2025 Janu Mond Wednesday December 31/12/25 11PM 11pm .000  ,00 .0012"),
    ],
)  # fmt: skip
def test_what_alertmanager_writes_of_it(text, wanted):
    """Texts that Alertmanager 0.25 writes; of the zone of Kolkata, what its documents say."""
    assert render(text).fault == ""
    assert render(text).text == wanted


@pytest.mark.parametrize(
    "text",
    [
        "{{ .Nope }}", "{{ .Status.Nope }}", "{{ if }}", "{{ if .Status }}", "{{ end }}", "{{",
        "{{ }}", "{{ .Status | nope }}", "{{ range .Status }}{{ end }}", "{{ break }}",
        "{{ call .Status }}", '{{ template "nope" . }}', "{{ $x }}", "{{ $x = 1 }}",
        "{{ .__class__ }}", "{{ .Labels.__class__.__mro__ }}", "{{ .Alerts.append }}",
        "{{ .Status.upper }}", "{{ (index .Alerts 9).Status }}", "{{ index .Alerts -1 }}",
        '{{ printf "%999999999d" 1 }}', '{{ match "(a+" "a" }}', '{{ match "(?=a)" "a" }}',
        '{{ eq 1 "1" }}', "{{ lt .Status 1 }}", "{{ join 1 2 }}", "{{ len 5 }}", "{{ 'c' }}",
        '{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}',
        '{{ define "x" }}', "{{ else }}", "{{ .Status x }}", "{{ .Alerts.Firing 1 2 }}",
        '{{ tz "../../etc/passwd" (index .Alerts 0).StartsAt }}', "{{ .Status := 1 }}",
        '{{ printf "%#x" 255 }}', '{{ printf "%*d" 5 3 }}', '{{ printf "%T" 1 }}', '{{ printf "%.2f" 3 }}',
        '{{ printf "%U" -7 }}', '{{ printf "%q" 65 }}', '{{ printf "%O" 8 }}', '{{ printf "%b" 2.5 }}', '{{ printf "%+q" "é" }}',
        '{{ printf "%5s" .CommonLabels.Names }}', '{{ printf "%d" .Alerts }}', "{{ len }}", "{{ toUpper }}", "{{ not }}",
        "{{ (((((((((((((((((((((((((((((((((((((((((((((.Status))))))))))))))))))))) }}",
        "{{ if true }}" * 40 + "{{ end }}" * 40,
    ],
)  # fmt: skip
def test_what_is_beyond_it_is_a_fault_in_words(text):
    made = render(text)
    assert made.text == ""
    assert made.fault
    assert "Traceback" not in made.fault


BOMBS = [
    '{{ define "a" }}{{ template "b" . }}{{ template "b" . }}{{ end }}'
    + "".join(
        f'{{{{ define "{chr(98 + n)}" }}}}{{{{ template "{chr(99 + n)}" . }}}}{{{{ template "{chr(99 + n)}" . }}}}{{{{ end }}}}'
        for n in range(20)
    )
    + '{{ define "v" }}x{{ end }}{{ template "a" . }}',
    "{{ $s := `" + "x" * 60000 + "` }}{{ range .Alerts }}{{ $s }}{{ $s }}{{ end }}",
    "{{ $s := `x` }}" + "{{ $s = print $s $s }}" * 40,
    "{{ $s := `x` }}" + '{{ $s = reReplaceAll "" "xxxxxxxx" $s }}' * 40,
    "{{ $s := `x` }}" + '{{ $s = printf "%s%s%s%s" $s $s $s $s }}' * 40,
    " " * 60000 + "{{",
    "{{/*" * 15000,
    "{{-" * 20000,
    '{{ match "(a+)+$" "' + "a" * 50 + '!" }}',
    "{{ range .Alerts }}" * 20
    + "{{ range $.CommonLabels }}x{{ end }}" * 1500
    + "{{ end }}" * 20,
]


@pytest.mark.parametrize("text", BOMBS, ids=range(len(BOMBS)))
def test_no_template_takes_long_or_much(text):
    clock = SystemClock()
    began_s = clock.monotonic_s()
    made = render(text)
    assert clock.monotonic_s() - began_s < 2
    assert made.fault or len(made.text) <= 65536


@pytest.mark.parametrize(
    "inner",
    [
        "{{ range $.Alerts }}{{ end }}",
        '{{ $x := reReplaceAll "a" "b" $.CommonAnnotations.summary }}',
        "{{ $x := title $.CommonAnnotations.summary }}",
    ],
)
def test_what_a_step_does_is_bounded_too(inner):
    """Turns of a range without a body, and long texts that a function goes through."""
    known = facts.of(
        message(*(alert(pod=str(n), annotations={"summary": "a" * 2000}) for n in range(40)))
    )
    text = "{{ range $.Alerts }}" * 2 + inner + "{{ end }}" * 2
    assert Templates().render(text, known).fault == "more than 50000 steps"


def test_a_template_is_at_most_so_long():
    assert "limit" in render("{{ .Status }}" + "x" * 70000).fault


@given(st.text(alphabet='{}-/*. $"`|:=(),\n rangeifdx.AStatus01', max_size=60))
def test_any_text_is_rendered_or_a_fault(text):
    made = render("{{" + text + "}}")
    assert made.text == "" or not made.fault


@given(st.text(max_size=40))
def test_text_without_actions_stays(text):
    if "{{" not in text:
        assert render(text).text == text


def test_values_are_escaped_and_the_templates_own_text_is_not():
    text = "<b>{{ (index .Alerts 0).Annotations.summary }}</b>{{ safeHtml `<i>` }}"
    made = render(text, escape=html.escape, links=True)
    assert made.text == "<b>a &lt;b&gt; &amp; c</b><i>"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("javascript:alert(1)", "#"),
        ("data:text/html,x", "#"),
        (" JaVaScript:x", "#"),
        ("https://x/?a=1&b", "https://x/?a=1&amp;b"),
    ],
)
def test_a_link_goes_to_the_web_or_nowhere(url, shown):
    known = facts.of(message(alert(annotations={"link": url})))
    made = Templates().render(
        '<a href="{{ .CommonAnnotations.link }}">', known, escape=html.escape, links=True
    )
    assert made.text == f'<a href="{shown}">'


def test_files_define_templates_and_one_that_is_beyond_us_is_named():
    templates = Templates(
        {
            "good.tmpl": '{{ define "mine" }}{{ .Status }}!{{ end }}{{ define "slack.default.title" }}T{{ end }}',
            "bad.tmpl": '{{ define "other" }}{{ break }}{{ end }}',
        }
    )
    assert templates.render('{{ template "mine" . }}', KNOWN).text == "firing!"
    assert templates.render('{{ template "slack.default.title" . }}', KNOWN).text == "T"
    assert templates.render('{{ template "other" . }}', KNOWN).fault
    assert templates.faults == {"bad.tmpl": "line 1: break is not in the subset"}


def test_alertmanagers_default_title_is_ours(shared_data):
    bodies = recorded.notifications(shared_data, "webhook_v4")
    titles = {
        one["attachments"][0]["title"] for one in recorded.notifications(shared_data, "slack")
    }
    known = [facts.of(recorded.message(body)) for body in bodies]
    assert {facts.subject(one) for one in known} == titles
    for name in ("__subject", "slack.default.title", "email.default.subject"):
        made = {Templates().render(f'{{{{ template "{name}" . }}}}', one).text for one in known}
        assert made == titles


def test_defaults_asked_for_by_name_are_the_channels_own():
    for name in ("email.default.html", "wechat.default.message", "dingtalk.default.message"):
        made = Templates().render(f'{{{{ template "{name}" . }}}}', KNOWN)
        assert (made.text, made.fault) == ("", "")


def test_parsed_templates_are_kept_within_a_bound():
    templates = Templates()
    for number in range(600):
        templates.render(f"{{{{ {number} }}}}", KNOWN)
    assert len(templates._parsed) == 500


def test_the_bounds_are_in_the_syntax():
    with pytest.raises(template_syntax.Unsupported, match="parts"):
        template_syntax.parse("{{0}}" * 10_001)
