"""Files that a configuration names, beside it; what is of another kind than expected stays."""

from pathlib import Path

import pytest

from heliograph.alert.config import files

FOLDER = Path("/etc/am")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, {}),
        ({"templates": ["t/*.tmpl", "/x", "", None, 5]}, {"templates": ["/etc/am/t/*.tmpl", "/x", "", None, 5]}),
        ({"global": {"slack_api_url_file": "u"}}, {"global": {"slack_api_url_file": "/etc/am/u"}}),
        (
            {"global": {"smtp_tls_config": {"ca_file": "c", "ca": "c"}}},
            {"global": {"smtp_tls_config": {"ca_file": "/etc/am/c", "ca": "c"}}},
        ),
        (
            {"receivers": [{"name": "a", "webhook_configs": [{"url_file": "u"}]}]},
            {"receivers": [{"name": "a", "webhook_configs": [{"url_file": "/etc/am/u"}]}]},
        ),
        *(
            ({key: junk}, {key: junk})
            for key in ("templates", "global", "receivers")
            for junk in (None, 5, "x", {"x": 1}, [None], [[]], [{"x": None}], [{"x": [5]}])
            if not (key == "templates" and junk == "x")
        ),
    ],
)  # fmt: skip
def test_beside(document, expected):
    assert files.beside(document, FOLDER) == expected


def test_the_folder_of_templates_is_no_pattern():
    found = files.beside({"templates": ["*.tmpl"]}, Path("/etc/[am]"))

    assert found == {"templates": ["/etc/[[]am]/*.tmpl"]}
