"""Strategy token-norm keeps what every strategy keeps; install the package first, `pip install -e .`."""

from paumer.deployment.extending.check import FAIL, findings


def test_it_conforms() -> None:
    """Each finding is a line of `paumer check token-norm`."""
    found = list(findings("token-norm"))
    assert found
    assert [str(one) for one in found if one.result == FAIL] == []
