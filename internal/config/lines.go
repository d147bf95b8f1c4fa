package config

// LineOf returns the line of an option as it holds for one of c's instances: in
// its section, or else in [DEFAULT]. Where neither has it, it is the line of the
// section, and 0 for the hooks of [DEFAULT].
func (c *Config) LineOf(i *Instance, option string) int {
	if c.parsed == nil {
		return i.Line
	}
	s := c.parsed.defaults
	for _, section := range c.parsed.sections {
		if section.line == i.Line {
			s = section
		}
	}
	known := findInstanceOption(option)
	if s == c.parsed.defaults || known == nil || !known.own && (option != "directory" || i.Type != InstanceLocal) {
		if e := c.parsed.lookup(s, option); e != nil {
			return e.line
		}
	} else if e := s.entry(option); e != nil {
		return e.line
	}
	return i.Line
}
