package service_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
)

func TestALineOfTheLogSaysWhoAsked(t *testing.T) {
	var out bytes.Buffer
	svc := newService(t, registryFunc(oneManifest), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) { return clean(), nil }),
		func(o *service.Options) { o.Logger = slog.New(slog.NewTextHandler(&out, nil)) })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, asker := range []service.Asker{service.AskerAdmission, service.AskerAudit, service.AskerAudit, service.AskerMutation, service.AskerUnknown} {
		svc.Reports(ctx, []service.Query{{Reference: "a", Patient: true, Asker: asker}})
	}
	closeService(t, svc)
	text := out.String()
	for line, want := range map[string]int{
		"msg=report image=a namespace=\"\" asker=admission digest=sha256:a status=accepted": 1,
		"msg=report image=a namespace=\"\" asker=mutation":                                  1,
		"msg=report image=a namespace=\"\" asker=unknown":                                   1,
		"asker=audit":                     0,
		"msg=audit reports=2 accepted=2 ": 1,
	} {
		if n := strings.Count(text, line); n != want {
			t.Errorf("%d lines with %s, want %d:\n%s", n, line, want, text)
		}
	}
}
