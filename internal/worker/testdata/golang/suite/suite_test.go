package suite

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

var flavour = flag.String("flavour", "", "a flag of this test binary alone")

func TestPass(t *testing.T) { t.Log("all is well") }

func TestFail(t *testing.T) { t.Error("one\ntwo") }

func TestSkip(t *testing.T) { t.Skip("not on", "Sundays\nnor at night") }

func TestSkipSilently(t *testing.T) { t.SkipNow() }

func TestSubtests(t *testing.T) {
	t.Run("a", func(t *testing.T) {
		t.Run("b/c", func(t *testing.T) { t.Error("deep") })
		t.Run("skipped", func(t *testing.T) { t.Skip("why not") })
	})
	t.Run("größe 寸", func(t *testing.T) { fmt.Print("no newline") })
	t.Log("back at the top")
}

func TestParallel(t *testing.T) {
	for i := range 3 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			t.Log("log", i)
		})
	}
}

func TestPanic(t *testing.T) {
	t.Run("sub", func(*testing.T) { panic("boom") })
}

func TestExit(t *testing.T) {
	t.Run("open", func(t *testing.T) {
		t.Log("on the way out")
		os.Exit(3)
	})
}

func TestExitZero(*testing.T) { os.Exit(0) }

func TestKilled(*testing.T) {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func TestHugeLine(*testing.T) { fmt.Print(strings.Repeat("0123456789", 30_000)) }

func TestFakeFrames(t *testing.T) {
	fmt.Print("\x16=== RUN   TestOther\n\x16--- PASS: TestOther (0.00s)\n\x16alone")
}

func TestStderr(*testing.T) {
	fmt.Println("first")
	println("second")
	fmt.Fprintln(os.Stderr, "third")
}

func TestStdin(t *testing.T) {
	fmt.Print("name? ")
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	t.Logf("%q %v", line, err)
}

func TestDir(t *testing.T) {
	if _, err := os.Stat("suite_test.go"); err != nil {
		t.Error(err)
	}
}

func TestFlags(t *testing.T) { t.Logf("short=%v flavour=%s", testing.Short(), *flavour) }

// TestOrphan leaves a process of another session behind that holds the output.
func TestOrphan(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	cmd.Stdout = os.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("pids: %d.\n", cmd.Process.Pid)
}

// TestForever waits with a child; neither ends by itself.
func TestForever(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("pids: %d %d.\n", os.Getpid(), cmd.Process.Pid)
	_ = cmd.Wait()
}

func Example_good() {
	fmt.Println("good")
	// Output: good
}

func Example_bad() {
	fmt.Println("bad")
	// Output: worse
}

func FuzzSeeds(f *testing.F) {
	f.Add("a")
	f.Add("b")
	f.Fuzz(func(t *testing.T, s string) {
		if s == "b" {
			t.Fatal("seed", s)
		}
	})
}

func BenchmarkNothing(b *testing.B) {
	for b.Loop() {
	}
}
