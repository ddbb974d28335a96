package ladder

import "time"

// Rules are the figures that decisions are made by.
type Rules struct {
	// Interval is how often checks run.
	Interval time.Duration
	// Fall and Rise are how many results in a row make a check fail, and
	// recover.
	Fall, Rise int
	// Hold is how long a node that stepped down by itself has to be well
	// before it steps up again. It doubles with every fall inside
	// FlapWindow.
	Hold time.Duration
	// FlapBudget is how many times within FlapWindow a node may step down by
	// itself and come back. One fall more, and it stays down until the
	// window has moved on: a route that flaps is damped by others for longer.
	FlapBudget int
	FlapWindow time.Duration
	// Fresh is how old a record may be to count as an announcer, and Known
	// how old for its node to be remembered as one.
	Fresh, Known time.Duration
	// Promise is how long a node that promised to stay waits for whoever
	// asked to say what came of it.
	Promise time.Duration
	// BudgetWindow is the time in which at most one node, or BudgetShare
	// percent of the known ones, may withdraw by themselves.
	BudgetWindow time.Duration
	BudgetShare  int
	// PanicShare is the percentage of known nodes beyond which failures are
	// taken for a fault of the checks, as are SameCheck nodes that fail one
	// check within SameWindow.
	PanicShare int
	SameCheck  int
	SameWindow time.Duration
	// Farewell is how long a node that stops is announced as about to go
	// before it withdraws.
	Farewell time.Duration
}

// DefaultRules are the figures unless an operator says otherwise.
func DefaultRules() Rules {
	return Rules{
		Interval: 2 * time.Second, Fall: 3, Rise: 3,
		Hold: 10 * time.Second, FlapBudget: 3, FlapWindow: 10 * time.Minute,
		Fresh: 3 * time.Second, Known: 5 * time.Minute, Promise: 30 * time.Second,
		BudgetWindow: 10 * time.Minute, BudgetShare: 20,
		PanicShare: 50, SameCheck: 3, SameWindow: time.Minute,
		Farewell: time.Second,
	}
}
