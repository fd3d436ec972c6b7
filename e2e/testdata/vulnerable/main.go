// Greeter is the program inside the vulnerable sample image: it is built with
// golang.org/x/text v0.3.5, which has published advisories.
package main

import (
	"fmt"

	"golang.org/x/text/language"
)

func main() { fmt.Println(language.MustParse("en-GB")) }
