package site

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// maxCost bounds one evaluation of a condition, in the units of CEL's cost
// model (about one comparison each). A condition whose estimate can exceed
// it is refused when it is compiled; the same bound holds when it runs.
const maxCost = 100_000

// maxFieldSize is what cost estimation assumes for the size of a request's
// strings; admission lets no larger head in.
const maxFieldSize = 32 << 10

// Rule is a condition and what holds when it is met. In a list of rules
// the first met decides each kind of action. A rule has one action.
type Rule struct {
	Name string
	When *Condition

	// Bypass takes the cache out of the way.
	Bypass bool
	// TTL, when positive, replaces the freshness that the origin gave.
	TTL time.Duration
	// Redirect, when set, answers without the origin.
	Redirect *Redirect
}

// Redirect is an answer that sends the client elsewhere.
type Redirect struct {
	// To is the target; "${host}", "${path}" and "${query}" (with its "?")
	// stand for the request's.
	To     string
	Status int
}

// Target returns the value of Location for r.
func (d *Redirect) Target(r *exchange.Request) string {
	return strings.NewReplacer("${host}", r.Host, "${path}", r.Path, "${query}", r.Query).Replace(d.To)
}

// Condition is a compiled CEL expression over a request.
type Condition struct {
	program cel.Program
}

// Compiler compiles conditions. It is immutable and safe to share.
type Compiler struct {
	env *cel.Env
}

// NewCompiler returns a compiler with the variables that a condition may
// use: request.method, request.scheme, request.host, request.path,
// request.query (without "?"), request.headers and request.cookies (maps
// of strings, names of headers in lower case), and client.ip.
func NewCompiler() (*Compiler, error) {
	env, err := cel.NewEnv(
		cel.Variable("request.method", cel.StringType),
		cel.Variable("request.scheme", cel.StringType),
		cel.Variable("request.host", cel.StringType),
		cel.Variable("request.path", cel.StringType),
		cel.Variable("request.query", cel.StringType),
		cel.Variable("request.headers", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("request.cookies", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("client.ip", cel.StringType),
	)
	if err != nil {
		return nil, fmt.Errorf("build the environment of conditions: %w", err)
	}
	return &Compiler{env: env}, nil
}

// Compile compiles one expression. The error says where the expression is
// wrong, or that it could cost too much.
func (c *Compiler) Compile(expr string) (*Condition, error) {
	ast, issues := c.env.Compile(expr)
	if issues.Err() != nil {
		return nil, issues.Err()
	}
	if ast.OutputType() != cel.BoolType {
		return nil, fmt.Errorf("the condition is of type %s; it must be true or false", ast.OutputType())
	}
	estimate, err := c.env.EstimateCost(ast, fieldSizes{})
	if err != nil {
		return nil, fmt.Errorf("estimate the cost: %w", err)
	}
	if estimate.Max > maxCost {
		return nil, fmt.Errorf("the condition can cost %d, at most %d is allowed; avoid matches() on long values and nested loops", estimate.Max, maxCost)
	}
	program, err := c.env.Program(ast, cel.CostLimit(maxCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, err
	}
	return &Condition{program: program}, nil
}

// Check reports what is wrong with an expression.
func (c *Compiler) Check(expr string) error {
	_, err := c.Compile(expr)
	return err
}

// fieldSizes tells the estimator how large a request's values can be.
type fieldSizes struct{}

func (fieldSizes) EstimateSize(node cost.AstNode) *cost.SizeEstimate {
	if path := node.Path(); len(path) > 0 {
		size := uint64(maxFieldSize)
		if path[0] == "request.headers" || path[0] == "request.cookies" {
			size = 100
		}
		return &cost.SizeEstimate{Min: 0, Max: size}
	}
	return nil
}

func (fieldSizes) EstimateCallCost(_, _ string, _ *cost.AstNode, _ []cost.AstNode) *cost.CallEstimate {
	return nil
}

// Met evaluates the condition. An error is one of evaluation, such as a
// missing key or the cost bound; the condition is then not met.
func (c *Condition) Met(r *exchange.Request) (bool, error) {
	out, _, err := c.program.Eval(&activation{r: r})
	if err != nil {
		return false, err
	}
	met, ok := out.Value().(bool)
	if !ok {
		return false, errors.New("the condition gave no truth value")
	}
	return met, nil
}

// activation resolves a condition's variables from a request when they are
// asked for, so that a condition on the path alone builds no maps.
type activation struct {
	r *exchange.Request
}

// Parent implements cel's Activation.
func (*activation) Parent() cel.Activation { return nil }

// ResolveName implements cel's Activation.
func (a *activation) ResolveName(name string) (any, bool) {
	switch name {
	case "request.method":
		return a.r.Method, true
	case "request.scheme":
		return a.r.Scheme, true
	case "request.host":
		return a.r.Host, true
	case "request.path":
		return a.r.Path, true
	case "request.query":
		return strings.TrimPrefix(a.r.Query, "?"), true
	case "request.headers":
		return headerMap(a.r.Header), true
	case "request.cookies":
		return cookieMap(a.r.Header), true
	case "client.ip":
		return a.r.Client.Addr().Unmap().String(), true
	}
	return nil, false
}

func headerMap(h exchange.Header) map[string]string {
	m := make(map[string]string, len(h))
	for _, f := range h {
		if old, ok := m[f.Name]; ok {
			m[f.Name] = old + ", " + f.Value
			continue
		}
		m[f.Name] = f.Value
	}
	return m
}

// cookieMap splits cookies as servers do (RFC 6265, 5.4): the first of a
// name counts.
func cookieMap(h exchange.Header) map[string]string {
	m := map[string]string{}
	for _, line := range h.Values("cookie") {
		for pair := range strings.SplitSeq(line, ";") {
			name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
			if _, seen := m[name]; ok && !seen {
				m[name] = value
			}
		}
	}
	return m
}
