package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"testr/internal/protocol"
	"testr/internal/worker"
)

// sleepDouble is a streaming worker whose tests take as long as their names say,
// and hardly any processor: however many hosts share this machine, they
// are as fast as they are said to be. With --list it lists the lines of the file
// "tests", else it serves. What a test does is at the end of its id:
//
//	_for_N  takes N microseconds, times $SLOWNESS
//	_meets  says, by a file in the directory "met", that it has begun, and ends
//	        when somebody opens the pipe "go"
func sleepDouble(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var err error
	if len(args) == 1 && args[0] == "--list" {
		err = listSleeps(stdout)
	} else {
		err = worker.Serve(context.Background(), stdin, stdout, runSleep)
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "sleep-double:", err)
		return 1
	}
	return 0
}

func listSleeps(stdout io.Writer) error {
	tests, err := fileLines("tests")
	if err != nil {
		return err
	}
	out := bufio.NewWriter(stdout)
	w := protocol.NewWriter(out)
	for _, id := range tests {
		p := protocol.Packet{Has: protocol.HasTestID, TestID: id, Status: protocol.StatusExists, Runnable: true}
		if err := w.WritePacket(&p); err != nil {
			return err
		}
	}
	return out.Flush()
}

func runSleep(_ context.Context, req worker.Request, w *protocol.Writer) error {
	p := protocol.Packet{Has: protocol.HasTestID | protocol.HasTime, TestID: req.TestID, Runnable: true,
		Status: protocol.StatusInProgress, Time: time.Now().UTC()}
	if err := w.WritePacket(&p); err != nil {
		return err
	}
	p.Status = protocol.StatusSuccess
	if err := sleepAsNamed(req.TestID); err != nil {
		p.Status = protocol.StatusFail
		p.Has |= protocol.HasFile | protocol.HasMIME
		p.FileName, p.MIMEType, p.Content = "reason", "text/plain;charset=utf8", []byte(err.Error()+"\n")
	}
	p.Time = time.Now().UTC()
	return w.WritePacket(&p)
}

func sleepAsNamed(id string) error {
	if strings.HasSuffix(id, "_meets") {
		if err := os.WriteFile(filepath.Join("met", id), nil, 0o600); err != nil {
			return err
		}
		pipe, err := os.Open("go") // waits for a writer
		if err != nil {
			return err
		}
		return pipe.Close()
	}
	_, text, _ := strings.Cut(id, "_for_")
	length, err := strconv.ParseFloat(text, 64)
	slowness := 1.0
	if text := os.Getenv("SLOWNESS"); text != "" && err == nil {
		slowness, err = strconv.ParseFloat(text, 64)
	}
	if err != nil {
		return err
	}
	<-time.After(time.Duration(length * slowness * float64(time.Microsecond)))
	return nil
}
