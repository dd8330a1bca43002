"""`heliograph workloads` against a running service."""

from click.testing import CliRunner

from heliograph.cli.workloads import NONE, workloads


def listed(site, *arguments):
    told = CliRunner().invoke(workloads, ["--url", f"http://127.0.0.1:{site.port}", *arguments])
    assert told.exit_code == 0, told.output
    return told.stdout.splitlines(), told.stderr


def test_who_has_no_workload_yet_is_told_how_one_becomes_known(site):
    assert listed(site) == (
        ["name  namespace  kind  status  run  iteration  loss  uid", "0 of 0"],
        f"{NONE}\n",
    )
    # Who asks for some only may know of others.
    assert listed(site, "--status", "Running")[1] == ""
    assert listed(site, "--json")[1] == ""

    placed = {
        "workloads": [{"uid": "w-1", "name": "llm", "kind": "PyTorchJob", "namespace": "train"}]
    }
    assert site.post("/v1/placements", placed).status == 200

    lines, told = listed(site)
    assert (lines[-1], told) == ("1 of 1", "")
    assert lines[1].split()[:3] == ["llm", "train", "PyTorchJob"]
