import pytest

pytest.skip("no such device", allow_module_level=True)
