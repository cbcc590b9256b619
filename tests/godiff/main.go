// Command godiff renders templates with the original engine: Go's text/template with consul-template's functions.
//
// It reads one JSON document a line, {"t": template, "secrets": {path: data}, "strict": bool, "left": "", "right": ""},
// and answers one a line, {"out": base64, "phase": "" | "parse" | "execute" | "missing", "err": text}. Paths that begin
// with "list:" are answers to `secrets`, whose data is an array. With -bench it measures instead: for each line how long
// parsing and executing take, in nanoseconds: {"parse": n, "execute": n}.
//
// It exists for the differential test and the benchmark of crates/template, and is no part of what ships.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"text/template"
	"time"
	_ "unsafe" // for go:linkname

	"github.com/hashicorp/consul-template/config"
	dep "github.com/hashicorp/consul-template/dependency"
	original "github.com/hashicorp/consul-template/template"
)

type request struct {
	Template string                     `json:"t"`
	Secrets  map[string]json.RawMessage `json:"secrets"`
	Strict   bool                       `json:"strict"`
	Left     string                     `json:"left"`
	Right    string                     `json:"right"`
}

type answer struct {
	Output string `json:"out"`
	Phase  string `json:"phase"`
	Error  string `json:"err"`
}

// functionsInput has the layout of consul-template's unexported funcMapInput.
type functionsInput struct {
	newTmpl          *template.Template
	brain            *original.Brain
	env              []string
	extFuncMap       map[string]interface{}
	functionDenylist []string
	sandboxPath      string
	destination      string
	used             *dep.Set
	missing          *dep.Set
	config           *config.Config
}

//go:linkname functions github.com/hashicorp/consul-template/template.funcMap
func functions(i *functionsInput) template.FuncMap

func main() {
	measure := flag.Bool("bench", false, "measure instead of rendering")
	flag.Parse()
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<24), 1<<24)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for lines.Scan() {
		var input request
		if err := json.Unmarshal(lines.Bytes(), &input); err != nil {
			fmt.Fprintln(os.Stderr, "godiff: a line is not a request:", err)
			os.Exit(65)
		}
		var result interface{}
		if *measure {
			result = bench(input)
		} else {
			result = render(input)
		}
		line, _ := json.Marshal(result)
		fmt.Fprintln(out, string(line))
	}
}

func brain(input request) *original.Brain {
	b := original.NewBrain()
	for path, raw := range input.Secrets {
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.UseNumber()
		if folder, isList := strings.CutPrefix(path, "list:"); isList {
			var names []string
			if decoder.Decode(&names) == nil {
				if query, err := dep.NewVaultListQuery(folder); err == nil {
					b.Remember(query, names)
				}
			}
			continue
		}
		var data map[string]interface{}
		if decoder.Decode(&data) == nil {
			if query, err := dep.NewVaultReadQuery(path); err == nil {
				b.Remember(query, &dep.Secret{Data: data})
			}
		}
	}
	return b
}

func parse(input request, b *original.Brain, missing *dep.Set) (*template.Template, error) {
	var used dep.Set
	t := template.New("").Delims(input.Left, input.Right)
	t.Funcs(functions(&functionsInput{newTmpl: t, brain: b, used: &used, missing: missing}))
	option := "missingkey=zero"
	if input.Strict {
		option = "missingkey=error"
	}
	return t.Option(option).Parse(input.Template)
}

func render(input request) (result answer) {
	defer func() {
		if problem := recover(); problem != nil {
			result = answer{Phase: "execute", Error: fmt.Sprintf("panic: %v", problem)}
		}
	}()
	var missing dep.Set
	t, err := parse(input, brain(input), &missing)
	if err != nil {
		return answer{Phase: "parse", Error: err.Error()}
	}
	var out bytes.Buffer
	if err := t.Execute(&out, nil); err != nil {
		return answer{Phase: "execute", Error: err.Error()}
	}
	if missing.Len() > 0 {
		return answer{Phase: "missing"}
	}
	return answer{Output: base64.StdEncoding.EncodeToString(out.Bytes())}
}

// span is long enough that the clock's grain does not count.
const span = 20 * time.Millisecond

func bench(input request) map[string]float64 {
	b := brain(input)
	var missing dep.Set
	t, err := parse(input, b, &missing)
	if err != nil {
		return map[string]float64{}
	}
	parsing := nanoseconds(func() {
		// a sibling shares the functions, so that only parsing is measured
		_, _ = t.New("again").Parse(input.Template)
	})
	executing := nanoseconds(func() {
		var out bytes.Buffer
		_ = t.Execute(&out, nil)
	})
	return map[string]float64{"parse": parsing, "execute": executing}
}

func nanoseconds(work func()) float64 {
	times := 0
	begun := time.Now()
	for time.Since(begun) < span {
		work()
		times++
	}
	return float64(time.Since(begun).Nanoseconds()) / float64(times)
}
