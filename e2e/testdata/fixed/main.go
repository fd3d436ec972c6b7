// Greeter is the program inside the clean sample image: it is built with a
// release of golang.org/x/text that has no known advisory.
package main

import (
	"fmt"

	"golang.org/x/text/language"
)

func main() { fmt.Println(language.MustParse("en-GB")) }
