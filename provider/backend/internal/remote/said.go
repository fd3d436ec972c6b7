package remote

import (
	"bytes"
	"encoding/json"
	"html"
	"regexp"
	"strings"
)

// maxQuote bounds what is quoted of an answer, in bytes.
const maxQuote = 300

// Message returns the sentence that a JSON error object holds, or nothing. It
// knows the spellings {"message"} of most APIs, {"title","detail"} of RFC 9457
// and {"errors":[{"message"}]} and {"error"} of gateways.
func (r *Reply) Message() string {
	var body struct {
		Message string          `json:"message"`
		Title   string          `json:"title"`
		Detail  json.RawMessage `json:"detail"`
		Error   json.RawMessage `json:"error"`
		Errors  json.RawMessage `json:"errors"`
	}
	if json.Unmarshal(r.Body, &body) != nil {
		return ""
	}
	if body.Message != "" {
		return body.Message
	}
	var several []struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body.Errors, &several) == nil && len(several) > 0 && several[0].Message != "" {
		return several[0].Message
	}
	for _, raw := range []json.RawMessage{body.Detail, body.Error} {
		var s string
		if json.Unmarshal(raw, &s) == nil && s != "" {
			return s
		}
	}
	return body.Title
}

// Quote returns what the answer says, in at most 300 bytes, in one line, and
// without the client's secrets and those given.
func (c *Client) Quote(r *Reply, secrets ...string) string {
	s := r.Message()
	if s == "" {
		// Before the cut too, or half a secret could be left.
		s = plain([]byte(c.redact(string(r.Body), secrets)))
	}
	return c.Redact(s, secrets...)
}

// Redact bounds s and takes secrets out of it.
func (c *Client) Redact(s string, secrets ...string) string {
	s = strings.Join(strings.Fields(c.redact(strings.ToValidUTF8(s, ""), secrets)), " ")
	if len(s) > maxQuote {
		s = strings.ToValidUTF8(s[:maxQuote], "") + "..."
	}
	return s
}

func (c *Client) redact(s string, secrets []string) string {
	for _, list := range [][]string{c.o.Secrets(), secrets} {
		for _, secret := range list {
			s = without(s, secret)
		}
	}
	return s
}

// without takes a secret out of s, and its second word when it is the value of
// an Authorization header.
func without(s, secret string) string {
	if secret == "" {
		return s
	}
	s = strings.ReplaceAll(s, secret, "[redacted]")
	if _, token, ok := strings.Cut(secret, " "); ok && token != "" {
		s = strings.ReplaceAll(s, token, "[redacted]")
	}
	return s
}

// plain reads a body that is no JSON error: of a page its title, of text its
// beginning. Other JSON says nothing to a reader.
func plain(b []byte) string {
	b = bytes.TrimSpace(b[:min(len(b), 16<<10)])
	if len(b) == 0 || json.Valid(b) {
		return ""
	}
	title := regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`).FindSubmatch(b)
	if title != nil {
		return html.UnescapeString(string(title[1]))
	}
	if b[0] == '{' || b[0] == '[' {
		return ""
	}
	return html.UnescapeString(regexp.MustCompile(`(?s)<[^>]*>`).ReplaceAllString(string(b), " "))
}
