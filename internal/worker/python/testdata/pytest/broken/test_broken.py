import a_module_that_nobody_has


def test_gone():
    a_module_that_nobody_has.go()
