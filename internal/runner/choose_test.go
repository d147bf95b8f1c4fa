package runner

import (
	"context"
	"errors"
	"testing"

	"testr/internal/instance"
	"testr/internal/supervisor"
)

// goner is an instance that is lost, unless it was got again.
type goner struct {
	instance.Instance
	lost bool
}

func (g *goner) Start(ctx context.Context, cmd instance.Command) (instance.Process, error) {
	if g.lost {
		return nil, &instance.LostError{Instance: "desktop", Err: errors.New("no answer for 15s")}
	}
	return g.Instance.Start(ctx, cmd)
}

// TestListsAgain: an instance that was lost since it was got, which nobody has noticed,
// is got once more to list there, and that is all.
func TestListsAgain(t *testing.T) {
	for _, back := range []bool{true, false} {
		s := sessionOf(t, newRequest(t, "test_command=x $LISTOPT\ntest_list_option=-l\n", Selection{}))
		s.provisioning = t.Context()
		made, err := (&instance.Local{}).Provision(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		s.groups = []*group{{name: "desktop", count: 1,
			provide: func(context.Context, int) ([]supervisor.Place, error) {
				got++
				return []supervisor.Place{{Instance: &goner{made[0], got == 1 || !back}}}, nil
			}}}
		p := s.profiles[0]
		_, _, err = p.listSomewhere(t.Context(), p.plan.everywhere("exit 0"))
		var lost *instance.LostError
		if errors.As(err, &lost) == back || back && err != nil || got != 2 {
			t.Errorf("back %t: got it %d times, and %v; want it twice, and the loss if it is not back", back, got, err)
		}
		s.providing.Wait()
	}
}
