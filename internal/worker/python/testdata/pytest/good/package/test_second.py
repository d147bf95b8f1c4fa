from conftest import note


def test_second(package, module):
    note("second")


def double(number):
    """Doubles.

    >>> double(2)
    4
    >>> double(3)
    7
    """
    return 2 * number
