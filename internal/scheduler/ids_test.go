package scheduler

import "testing"

func TestSplitID(t *testing.T) {
	for _, tt := range []struct{ id, class, module string }{
		{"tests.test_x.TestC.test_m", "tests.test_x.TestC", "tests.test_x"},
		{"tests.test_x.TestC.test_m(py3.scenario)", "tests.test_x.TestC", "tests.test_x"},
		{"tests.test_x.TestC.test_m(a/b)[id-1.5]", "tests.test_x.TestC", "tests.test_x"},
		{"tests/test_x.py::TestC::test_m[param-1.5]", "tests/test_x.py::TestC", "tests/test_x.py"},
		{"tests/test_x.py::TestC::test_m[a::b[0]]", "tests/test_x.py::TestC", "tests/test_x.py"},
		{"tests/test_x.py::test_f[/etc/a.b]", "tests/test_x.py", "tests/test_x.py"},
		{"t.py::A::B::test", "t.py::A::B", "t.py"},
		{"example.org/p/q.TestX", "example.org/p/q", "example.org/p"},
		{"example.org/p/q.TestX/a.b/c.Test", "example.org/p/q", "example.org/p"},
		{"gopkg.in/yaml.v3.FuzzX", "gopkg.in/yaml.v3", "gopkg.in"},
		{"fmt.TestX/sub", "fmt", ""},
		{"fmt.TestX", "fmt", ""},
		{"t/some/script.t", "t/some", "t"},
		{"script", "", ""},
		{"(a.b)", "(a", ""}, // all of it can't be parameters
		{"[]", "", ""},
		{"a.b[", "a", ""},
		{"/", "", ""},
		{"", "", ""},
	} {
		if class, module := splitID(tt.id); class != tt.class || module != tt.module {
			t.Errorf("%q: got class %q, module %q; want %q, %q", tt.id, class, module, tt.class, tt.module)
		}
	}
}
