import pytest


@pytest.mark.parametrize("value", ["a b", "ü→", "[x]", "a/b::c", ""])
def test_values(package, value):
    assert value != "[x]"
