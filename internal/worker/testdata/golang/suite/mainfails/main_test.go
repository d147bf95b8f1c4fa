package mainfails

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if flag.Lookup("test.list").Value.String() == "" {
		fmt.Println("tear-down failed")
		code = 7
	}
	os.Exit(code)
}

func TestFine(*testing.T) {}
