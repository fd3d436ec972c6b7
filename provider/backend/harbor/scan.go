package harbor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/internal/remote"
	"github.com/imagegate/imagegate/provider/report"
)

type scanRequest struct {
	Registry registryPart `json:"registry"`
	Artifact artifact     `json:"artifact"`
	// Capabilities is read by adapters of version 1.2.
	Capabilities []enabled `json:"enabled_capabilities,omitempty"`
}

type registryPart struct {
	URL           string `json:"url"`
	Authorization string `json:"authorization,omitempty"`
}

type artifact struct {
	Repository string `json:"repository"`
	Digest     string `json:"digest"`
	Tag        string `json:"tag,omitempty"`
	MediaType  string `json:"mime_type"`
}

type enabled struct {
	Type       string      `json:"type"`
	Produces   []string    `json:"produces_mime_types"`
	Parameters *attributes `json:"parameters,omitempty"`
}

// product is a kind of report that an adapter makes of an image.
type product struct {
	enabled
	// query is added to the path of its report.
	query string
}

const (
	// maxRestarts bounds how often a scan is started again because the adapter
	// forgot its id, maxBroken how many polls in a row may find nobody there.
	maxRestarts = 3
	maxBroken   = 3

	firstWait   = 50 * time.Millisecond
	longestWait = 3 * time.Second
	// maxRefreshAfter bounds what an adapter may ask for.
	maxRefreshAfter = 30 * time.Second

	ociManifest = "application/vnd.oci.image.manifest.v1+json"
)

// errUnknownID means that the adapter does not know the scan any more.
var errUnknownID = errors.New("the scanner does not know the scan's id")

// Scan has the adapter scan one manifest and returns when it is done or ctx
// is. Every error is a *report.Failure.
func (c *Client) Scan(ctx context.Context, image backend.Image) (*report.Scan, error) {
	if image.MediaType == "" {
		image.MediaType = ociManifest
	}
	m, err := c.metadata(ctx)
	if err != nil {
		return nil, err
	}
	accept, err := m.forImage(image)
	if err != nil {
		return nil, err
	}
	r, err := c.made(ctx, m, image, product{enabled: enabled{Type: vulnerability, Produces: []string{accept}}})
	if err != nil {
		return nil, err
	}
	scan, err := decode(r, m)
	if err != nil {
		return nil, err
	}
	silent := scan.Silent()
	// For now: a report that counts for nothing anyhow needs no explanation.
	if silent {
		scan.Believed = c.options.Name
	}
	if err := report.Complete(scan, image.Digest, c.options.Now()); err != nil {
		return nil, err
	}
	if !silent {
		return scan, nil
	}
	if err := c.explain(ctx, m, image, scan); err != nil {
		return nil, err
	}
	if err := report.Complete(scan, image.Digest, c.options.Now()); err != nil {
		return nil, err
	}
	return scan, nil
}

// made has the adapter make a report of the image and fetches it.
func (c *Client) made(ctx context.Context, m *metadata, image backend.Image, p product) (*reply, error) {
	for range maxRestarts {
		id, err := c.submit(ctx, m, image, p)
		if err != nil {
			return nil, err
		}
		r, err := c.poll(ctx, id, p, image.Authorization)
		if ctx.Err() != nil {
			c.giveUp(ctx, m, id)
		}
		if !errors.Is(err, errUnknownID) {
			return r, err
		}
	}
	return nil, &report.Failure{
		Reason:  report.ReasonUnavailable,
		Message: fmt.Sprintf("the scanner lost the scan %d times", maxRestarts),
		Err:     errUnknownID,
	}
}

func (m *metadata) forImage(image backend.Image) (string, error) {
	var consumes []string
	accept, ok := m.accept(image.MediaType, func(s string) {
		if !slices.Contains(consumes, s) {
			consumes = append(consumes, s)
		}
	})
	if ok {
		return accept, nil
	}
	if len(consumes) == 0 {
		return "", m.unusable()
	}
	return "", &report.Failure{
		Reason: report.ReasonUnsupported,
		Message: report.Clean(fmt.Sprintf("scanner %s does not scan images of type %s, only %s", m.Scanner,
			report.Clean(image.MediaType, maxName), strings.Join(consumes, ", ")), maxMessage),
	}
}

func (c *Client) submit(ctx context.Context, m *metadata, image backend.Image, p product) (string, error) {
	ask := scanRequest{
		Registry: registryPart{URL: image.Registry, Authorization: image.Authorization},
		Artifact: artifact{Repository: image.Repository, Digest: image.Digest, Tag: image.Tag, MediaType: image.MediaType},
	}
	if m.typed() {
		ask.Capabilities = []enabled{p.enabled}
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return "", &report.Failure{Reason: report.ReasonInternal, Message: "cannot write the scan request", Err: err}
	}
	share := ""
	if m.Properties[shareProperty] == "true" {
		share = image.Share
	}
	r, err := c.call(ctx, http.MethodPost, "/scan", responseType, requestType, body, maxSmallBody, shareHeader, share)
	if err != nil {
		return "", err
	}
	if r.status != http.StatusAccepted {
		return "", c.failed("starting the scan", r, image.Authorization)
	}
	var got struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(r.body, &got); err != nil || got.ID == "" {
		return "", &report.Failure{Reason: report.ReasonInternal, Message: "the scanner accepted the scan and gave no id for it", Err: err}
	}
	return got.ID, nil
}

// giveUpTimeout bounds the goodbye, which nobody waits for but the scan's slot.
const giveUpTimeout = 2 * time.Second

// giveUp tells an adapter that can hear it that nobody waits for a scan any more.
// ctx may be over. Whatever comes of it, the adapter will end the scan one day.
func (c *Client) giveUp(ctx context.Context, m *metadata, id string) {
	if m.Properties[cancelProperty] != "true" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpTimeout)
	defer cancel()
	_, _ = c.call(ctx, http.MethodDelete, "/scan/"+url.PathEscape(id), "*/*", "", nil, maxSmallBody)
}

// typed reports whether the adapter is of version 1.2, whose capabilities have
// a type.
func (m *metadata) typed() bool {
	return slices.ContainsFunc(m.Capabilities, func(c capability) bool { return c.Type != "" })
}

// poll asks for the report until there is one.
func (c *Client) poll(ctx context.Context, id string, p product, secret string) (*reply, error) {
	path, accept := "/scan/"+url.PathEscape(id)+"/report"+p.query, p.Produces[0]
	began := time.Now()
	broken := 0
	for n := 0; ; n++ {
		r, err := c.call(ctx, http.MethodGet, path, accept, "", nil, c.options.MaxReportBytes)
		if err != nil {
			// The adapter may be restarting: then it will not know the id, and
			// starting again costs less than failing.
			broken++
			if ctx.Err() != nil || broken >= maxBroken || !report.FailureOf(err).Transient() {
				return nil, err
			}
			if err := remote.Sleep(ctx, c.wait(n, time.Since(began))); err != nil {
				return nil, err
			}
			continue
		}
		broken = 0
		switch r.status {
		case http.StatusOK:
			return r, nil
		case http.StatusFound:
			wait := c.wait(n, time.Since(began))
			// One second is the least that the header can say: it stands for
			// "soon", and taken literally it would add up to a second to every
			// scan that a Pod waits for.
			if asked := remote.Delay(r.header, "Refresh-After", maxRefreshAfter); asked > time.Second {
				wait = max(wait, asked)
			}
			if err := remote.Sleep(ctx, wait); err != nil {
				return nil, err
			}
		case http.StatusNotFound:
			return nil, errUnknownID
		default:
			return nil, c.failed("the scan", r, secret)
		}
	}
}

// wait grows fast to the poll interval, so that a report made from a cache is
// fetched at once, and then with the age of the scan, so that waiting never
// adds more than a tenth to it.
func (c *Client) wait(n int, age time.Duration) time.Duration {
	interval := c.options.PollInterval
	return max(min(firstWait<<min(n, 10), interval), min(age/10, longestWait))
}
