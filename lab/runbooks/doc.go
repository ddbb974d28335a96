// Package runbooks reads the runbooks of the documentation: their parts, and
// the commands in them. Its test runs those in a lab. It owns how a command
// is written there, and never decides what a page says.
package runbooks

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Parts are the headings of a page, in order.
var Parts = []string{"What you see", "What it means", "Check", "Do", "Undo"}

// Command is a line of a page that starts with "$ landfall".
type Command struct {
	Line int
	Text string   // as it stands there
	Args []string // after landfall
	On   string   // the node that it runs on, "" for any
	Exit int
}

var remark = regexp.MustCompile(`^(?:on ([a-z0-9]+))?(?:, )?(?:exit ([0-9]+))?$`)

// Commands returns those of a page, which stand in blocks of console.
func Commands(page string) (out []Command, err error) {
	inside := false
	for i, line := range strings.Split(page, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "```") {
			inside = !inside && line == "```console"
			continue
		}
		rest, ok := strings.CutPrefix(line, "$ landfall ")
		if !inside || !ok {
			continue
		}
		c := Command{Line: i + 1, Text: line}
		command, note, noted := strings.Cut(rest, " # ")
		if noted {
			m := remark.FindStringSubmatch(note)
			if m == nil {
				return nil, fmt.Errorf("line %d: remark %q; expected on NODE, exit CODE, or both", i+1, note)
			}
			c.On = m[1]
			c.Exit, _ = strconv.Atoi("0" + m[2]) // digits
		}
		if c.Args, err = split(command); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		out = append(out, c)
	}
	return out, nil
}

// split splits as a shell does that knows of double quotes only.
func split(s string) (out []string, err error) {
	for i, part := range strings.Split(s, `"`) {
		if i%2 == 1 {
			out = append(out, part)
			continue
		}
		out = append(out, strings.Fields(part)...)
	}
	if strings.Count(s, `"`)%2 == 1 {
		return nil, fmt.Errorf("%s: a quote is not closed", s)
	}
	return out, nil
}

// CheckParts says what is wrong with a page's headings.
func CheckParts(page string) error {
	var got []string
	for line := range strings.Lines(page) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			got = append(got, strings.TrimSpace(title))
		}
	}
	if !slices.Equal(got, Parts) {
		return fmt.Errorf("the parts are %q, expected %q", got, Parts)
	}
	return nil
}
