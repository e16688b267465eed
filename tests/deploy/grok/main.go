// Compiles grok patterns as Logstash would be given them and runs them over lines.
//
//	grok JOB.json <LINES
//
// The job: {"definitions": {NAME: PATTERN}, "patterns": [PATTERN]}. A line is printed for each line read: the captures
// of the first pattern that matches as JSON, or null.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/elastic/go-grok"
)

type job struct {
	Definitions map[string]string `json:"definitions"`
	Patterns    []string          `json:"patterns"`
}

func compile(path string) ([]*grok.Grok, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var wanted job
	if err := json.Unmarshal(text, &wanted); err != nil {
		return nil, err
	}
	var compiled []*grok.Grok
	for _, pattern := range wanted.Patterns {
		one := grok.New()
		if err := one.AddPatterns(wanted.Definitions); err != nil {
			return nil, err
		}
		if err := one.Compile(pattern, true); err != nil {
			return nil, fmt.Errorf("%s: %w", pattern, err)
		}
		compiled = append(compiled, one)
	}
	return compiled, nil
}

func captures(patterns []*grok.Grok, line string) map[string]string {
	for _, pattern := range patterns {
		if !pattern.MatchString(line) {
			continue
		}
		found, err := pattern.ParseString(line)
		if err == nil {
			return found
		}
	}
	return nil
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: grok JOB.json <LINES")
		os.Exit(2)
	}
	patterns, err := compile(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		if err := out.Encode(captures(patterns, lines.Text())); err != nil {
			os.Exit(1)
		}
	}
}
