package worker

import (
	"context"
	"fmt"

	"testr/internal/instance"
)

// goKeeper ends the running test when the worker is gone, in whatever way. A
// test is in a process group of its own, so that what ends the worker leaves
// time to ask the test where it stands; it must not outlive the worker for that.
//
// The keeper is a shell in a third group, which the worker's death tells by the
// end of its input. One goroutine uses it.
type goKeeper struct {
	machine instance.Instance
	process instance.Process // nil before the first test
}

// keeperScript remembers the last group that it reads, of which 0 is none.
const keeperScript = `while read -r line; do group=$line; done; [ "$group" = 0 ] || kill -KILL "-$group"`

// hold says which group is to be ended with the worker; 0 is none.
func (k *goKeeper) hold(ctx context.Context, group int) error {
	if k.process == nil {
		// It ends with its input alone, or with the machine.
		process, err := k.machine.Start(context.WithoutCancel(ctx), instance.Command{
			Args: []string{"sh", "-c", keeperScript},
		})
		if err != nil {
			return fmt.Errorf("start what ends tests with the worker: %w", err)
		}
		k.process = process
	}
	if _, err := fmt.Fprintln(k.process.Stdin(), group); err != nil {
		return fmt.Errorf("have process %d end with the worker: %w", group, err)
	}
	return nil
}

// close lets the keeper end. No test runs any more.
func (k *goKeeper) close() error {
	if k.process == nil {
		return nil
	}
	_ = k.process.Stdin().Close()
	_, err := k.process.Wait()
	return err
}
