"""The peers start here, and a test without one is skipped by name, but never in CI."""

import pytest

from tests.peers import answers, free_port, peer

NOTHING = "global: {scrape_interval: 1h}\n"


def test_prometheus_starts(start, tmp_path):
    port = free_port()
    (tmp_path / "prometheus.yml").write_text(NOTHING)
    prometheus = start(
        "prometheus",
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    prometheus.wait_for(answers(f"http://127.0.0.1:{port}/-/ready"))
    assert prometheus.stop() == 0


def test_vmagent_and_victoria_metrics_start(start, tmp_path):
    store_port, agent_port = free_port(), free_port()
    store = start(
        "victoria-metrics",
        f"-storageDataPath={tmp_path / 'vm'}",
        f"-httpListenAddr=127.0.0.1:{store_port}",
    )
    agent = start(
        "vmagent",
        f"-remoteWrite.url=http://127.0.0.1:{store_port}/api/v1/write",
        f"-remoteWrite.tmpDataPath={tmp_path / 'queue'}",
        f"-httpListenAddr=127.0.0.1:{agent_port}",
    )
    store.wait_for(answers(f"http://127.0.0.1:{store_port}/health"))
    agent.wait_for(answers(f"http://127.0.0.1:{agent_port}/health"))


@pytest.mark.parametrize("name", ["alertmanager", "amtool", "promtool", "vmalert"])
def test_the_other_peers_are_there(name):
    assert peer(name).is_file()


def test_the_browser_draws(page):
    page.set_content("<p id=x>no</p><script>x.textContent = 6 * 7</script>")
    assert page.text_content("#x") == "42"


def test_a_missing_peer_skips_by_name_but_fails_in_ci(monkeypatch):
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match="no abacus here"):
        peer("abacus")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no abacus here"):
        peer("abacus")


def test_a_program_that_dies_fails_with_its_last_words(start, tmp_path):
    script = tmp_path / "die.sh"
    script.write_text("#!/bin/sh\necho so long; exit 3\n")
    script.chmod(0o700)
    with pytest.raises(pytest.fail.Exception, match="ended with 3\nso long"):
        start(script).wait_for(lambda: False)
