package runner

import "testr/internal/config"

func (s *session) hookGroup(c config.Instance) *group { return s.localGroup(c) }
