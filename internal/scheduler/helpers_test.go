package scheduler

func beforeDot(id string) string { return before(id, '.') }
