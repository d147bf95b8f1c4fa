package runner

import (
	"testr/internal/instance"
	"testr/internal/repo"
)

// journal keeps leases in the repository.
type journal struct{ repo *repo.Repository }

func (j journal) Put(l instance.Lease) (uint64, error) { return j.repo.PutLease(repo.Lease(l)) }

func (j journal) Remove(key uint64) error { return j.repo.RemoveLease(key) }

func (j journal) Leases() ([]instance.Lease, error) {
	stored, err := j.repo.Leases()
	leases := make([]instance.Lease, len(stored))
	for i, l := range stored {
		leases[i] = instance.Lease(l)
	}
	return leases, err
}
