package main

import probeFmt "fmt"
import probeOs "os"
import probeStrconv "strconv"

// probeWritten is a value as source text; of an error only whether there is one.
func probeWritten(value any) string {
	if failed, is := value.(error); is {
		return probeFmt.Sprint(failed != nil)
	}
	return probeFmt.Sprintf("%#v", value)
}

// probe makes one call; one that panics prints nothing.
func probe(number int, call func() []string) {
	defer func() { _ = recover() }()
	for _, text := range call() {
		probeFmt.Printf("%d\t%s\n", number, text)
	}
}

// main prints NUMBER before each call and NUMBER<tab>RESULT after it, a line a result. The first argument says with which
// to begin, after one that never came back. CALLS are put in where the program is made.
func main() {
	first := 0
	if len(probeOs.Args) > 1 {
		first, _ = probeStrconv.Atoi(probeOs.Args[1])
	}
	calls := []func() []string{CALLS}
	for number := first; number < len(calls); number++ {
		probeFmt.Println(number)
		probe(number, calls[number])
	}
}
