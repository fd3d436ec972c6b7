// Command mutate checks the Rego unit tests: it breaks the policies in one place
// at a time and wants a test to fail each time.
//
// The changes: a rule (or a clause of one, or an else branch) deleted, "reject"
// turned into "accept", a "not" dropped, a comparison turned round. It prints
// each change that no test noticed and the score, and fails below 100 %.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/imagegate/imagegate/templates/regotest"
)

func main() {
	folder := flag.String("templates", "templates", "folder of the policies")
	only := flag.String("only", "", "kinds of changes to make: delete, default, not, compare, else (default all)")
	file := flag.String("file", "", "change only files whose path below the folder starts with this")
	verbose := flag.Bool("v", false, "print every change")
	flag.Parse()
	if err := run(*folder, *only, *file, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(folder, only, file string, verbose bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	sources, err := regotest.Load(folder)
	if err != nil {
		return err
	}
	mutants, err := regotest.Mutants(sources)
	if err != nil {
		return err
	}
	mutants = slices.DeleteFunc(mutants, func(m regotest.Mutant) bool {
		return only != "" && m.Kind != only || !strings.HasPrefix(m.Where, file)
	})
	results := judge(ctx, sources, mutants)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("stopped: %w", err)
	}
	return tell(mutants, results, verbose)
}

func judge(ctx context.Context, sources regotest.Sources, mutants []regotest.Mutant) []regotest.Verdict {
	results := make([]regotest.Verdict, len(mutants))
	work := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range work {
				results[i] = regotest.Judge(ctx, sources, mutants[i])
			}
		})
	}
	for i := range mutants {
		work <- i
	}
	close(work)
	workers.Wait()
	return results
}

func tell(mutants []regotest.Mutant, results []regotest.Verdict, verbose bool) error {
	tried, noticed, broken := map[string]int{}, map[string]int{}, 0
	for i, mutant := range mutants {
		if results[i] == regotest.Invalid {
			broken++
			continue
		}
		tried[mutant.Kind]++
		if results[i] == regotest.Noticed {
			noticed[mutant.Kind]++
		}
		if verbose || results[i] == regotest.Survived {
			fmt.Printf("%s: %s\n", results[i], mutant)
		}
	}
	all, caught := 0, 0
	for _, kind := range regotest.Kinds() {
		if tried[kind] > 0 {
			fmt.Printf("%-8s %d of %d noticed\n", kind, noticed[kind], tried[kind])
		}
		all, caught = all+tried[kind], caught+noticed[kind]
	}
	if all == 0 {
		return errors.New("nothing to change was found")
	}
	fmt.Printf("mutation score %.1f %% (%d of %d; %d more did not compile)\n", 100*float64(caught)/float64(all), caught, all, broken)
	if caught < all {
		return fmt.Errorf("%d changes went unnoticed", all-caught)
	}
	return nil
}
