package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSuggest(t *testing.T) {
	const discover = "[DEFAULT]\ntest_command=python3 -m unittest discover"
	const pytest = "[DEFAULT]\ntest_command=python3 -m pytest\n"
	tests := []struct {
		name  string
		files map[string]string
		want  string // how the suggestion ends
	}{
		{"nothing", nil, "test_list_option=--list\n"},
		{"a Go module", map[string]string{"go.mod": "module x\n", "test_x.py": ""},
			"[DEFAULT]\ntest_command=go test ./...\n"},
		{"tests here", map[string]string{"test_x.py": ""}, discover + "\n"},
		{"tests in a package", map[string]string{"tests/__init__.py": "", "tests/test_x.py": ""}, discover + "\n"},
		{"tests in a directory", map[string]string{"tests/test_x.py": ""}, discover + " -s tests\n"},
		{"a Python project", map[string]string{"setup.py": ""}, discover + "\n"},
		{"pytest", map[string]string{"pytest.ini": "", "test/test_x.py": ""}, pytest},
		{"pytest in pyproject.toml", map[string]string{"pyproject.toml": "[tool.pytest.ini_options]\n"}, pytest},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range test.files {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				write(t, path, text)
			}
			got := Suggest(dir)
			if !strings.HasSuffix(got, test.want) {
				t.Errorf("got %q; want it to end with %q", got, test.want)
			}
			write(t, filepath.Join(dir, Name), got)
			c, err := Load(dir)
			if err != nil || len(c.Warnings) > 0 || c.CheckRun(c.Profiles) != nil {
				t.Errorf("what was suggested doesn't load: %v", err)
			}
		})
	}
}
