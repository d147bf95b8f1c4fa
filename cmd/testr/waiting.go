package main

import (
	"context"
	"fmt"
	"io"
	"os"
)

// maxListFile bounds the files that are read as a whole.
const maxListFile = 256 << 20

// unlessEnded runs f, and leaves it behind where ctx ends before f does, with ctx's
// cause as its error: opening or reading a pipe can't be taken back, and waits for as
// long as nobody writes. Its goroutine then ends with the program.
func unlessEnded[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := f()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// runFilter is unlessEnded for a filter of streams.
func runFilter(ctx context.Context, f func() error) error {
	_, err := unlessEnded(ctx, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

// openFile opens a file, or a pipe, to read.
func openFile(ctx context.Context, path string) (*os.File, error) {
	return unlessEnded(ctx, func() (*os.File, error) { return os.Open(path) })
}

// readFile reads a file, or a pipe, as a whole.
func readFile(ctx context.Context, path string) ([]byte, error) {
	return unlessEnded(ctx, func() ([]byte, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		data, err := io.ReadAll(io.LimitReader(f, maxListFile+1))
		if err == nil && len(data) > maxListFile {
			err = fmt.Errorf("%s has more than %d MiB", path, maxListFile>>20)
		}
		return data, err
	})
}
