"""Settings that are read as Alertmanager's and cannot be honoured: refused by their name."""

import pytest

from heliograph.core.errors import ConfigError
from heliograph.notify import lacking


@pytest.mark.parametrize("key", ["cert", "key", "max_version"])
@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("place", ["tls_config", "http_config.tls_config"])
def test_a_certificate_in_the_settings_is_refused_not_left_out(key, guarded, place):
    settings = {"tls_config": {key: "x"}}
    if place != "tls_config":
        settings = {"http_config": settings}
    with pytest.raises(ConfigError, match=rf"^{place}\.{key}: not supported"):
        lacking.usable(settings, guarded=guarded)


def test_what_is_honoured_is_usable():
    tls = {"ca": "x", "server_name": "a", "insecure_skip_verify": True, "min_version": "TLS12"}
    lacking.usable({"tls_config": tls, "http_config": {"tls_config": tls}}, guarded=True)
