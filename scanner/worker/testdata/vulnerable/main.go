// Command vulnerable depends on a golang.org/x/text with known vulnerabilities.
package main

import (
	"fmt"

	"golang.org/x/text/language"
)

func main() { fmt.Println(language.ParseAcceptLanguage("en")) }
