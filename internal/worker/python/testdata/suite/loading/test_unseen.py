raise RuntimeError("load_tests of the package does not load this")
