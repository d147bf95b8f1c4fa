package runner

import "testr/internal/config"

// unsupported refuses a configuration with hooks. The error is a config.Errors.
func unsupported(c *config.Config) error {
	var errs config.Errors
	refuse := func(line int, msg, hint string) {
		errs = append(errs, &config.Error{File: c.File, Line: line, Msg: msg, Hint: hint})
	}
	if c.Hooks != nil {
		refuse(c.Hooks.Provision.Line, `option "instance_provision" is not supported in this version of testr`,
			"take the instance_ options away to run the tests on this machine")
	}
	for _, i := range c.Instances {
		if i.Type != config.InstanceHook {
			continue
		}
		refuse(i.Line, "section [instance "+i.Name+"] is not supported in this version of testr",
			"take the section away to run the tests on this machine")
	}
	if len(errs) == 0 {
		return nil
	}
	return errs
}
