package anchoretest

import (
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

const (
	policyID    = "2c53a13c-1765-11e8-82ef-23527761d060"
	evaluatedAt = "2026-11-23T12:00:00Z"
)

func imageV1(r *record, status string) map[string]any {
	return map[string]any{
		"analysis_status": status,
		"annotations":     map[string]any{},
		"created_at":      r.created.Format(time.RFC3339),
		"imageDigest":     r.digest,
		"image_content":   map[string]any{"metadata": map[string]any{"arch": "amd64", "distro": "debian", "distro_version": "12", "layer_count": 1}},
		"image_detail":    details(r, "fulltag"),
		"image_status":    "active",
		"image_type":      "docker",
		"last_updated":    r.created.Format(time.RFC3339),
		"parentDigest":    r.digest,
		"userId":          "admin",
	}
}

func imageV2(r *record, status string) map[string]any {
	return map[string]any{
		"account_name":    "admin",
		"analysis_status": status,
		"annotations":     map[string]any{},
		"created_at":      r.created.Format(time.RFC3339),
		"image_content":   map[string]any{"metadata": map[string]any{"arch": "amd64", "distro": "debian", "distro_version": "12", "layer_count": 1}},
		"image_detail":    details(r, "full_tag"),
		"image_digest":    r.digest,
		"image_status":    "active",
		"last_updated":    r.created.Format(time.RFC3339),
		"parent_digest":   r.digest,
	}
}

func details(r *record, field string) []any {
	list := make([]any, 0, len(r.tags))
	for tag := range r.tags {
		list = append(list, map[string]any{field: tag})
	}
	return list
}

// outcome is what an action means: warnings pass.
func outcome(plan Image) (action, status string) {
	switch strings.ToLower(plan.Action) {
	case "stop":
		return plan.Action, "fail"
	case "":
		return "go", "pass"
	}
	return plan.Action, "pass"
}

func checkV1(digest, tag string, plan Image) any {
	action, status := outcome(plan)
	id := strings.TrimPrefix(digest, "sha256:")
	header := []string{"Image_Id", "Repo_Tag", "Trigger_Id", "Gate", "Trigger", "Check_Output", "Gate_Action", "Whitelisted", "Policy_Id"}
	rows := [][]any{{id, tag, "41cb7cdf04850e33a11f80c42bf660b3", "dockerfile", "instruction", "no HEALTHCHECK <>&", action, false, "default"}}
	return []any{map[string]any{digest: map[string]any{tag: []any{map[string]any{
		"detail": map[string]any{
			"policy": map[string]any{"id": policyID, "name": "Default bundle", "version": "1_0", "policies": []any{}},
			"result": map[string]any{
				"bundle":              map[string]any{"id": policyID},
				"created_at":          1795435200,
				"evaluation_problems": []any{},
				"final_action":        action,
				"final_action_reason": "policy_evaluation",
				"image_id":            id,
				"last_modified":       1795435200,
				"result": map[string]any{id: map[string]any{"result": map[string]any{
					"final_action": action, "header": header, "row_count": len(rows), "rows": rows,
				}}},
				"tag":     tag,
				"user_id": "admin",
			},
		},
		"last_evaluation": evaluatedAt,
		"policyId":        policyID,
		"status":          status,
	}}}}}
}

func checkV2(digest, tag string, plan Image) any {
	action, status := outcome(plan)
	return map[string]any{
		"policy_id":     policyID,
		"image_digest":  digest,
		"evaluated_tag": tag,
		"evaluations": []any{map[string]any{
			"details": map[string]any{
				"policy": map[string]any{"id": policyID, "name": "Default policy", "version": "2", "rule_sets": []any{}},
				"findings": []any{map[string]any{
					"trigger_id": "41cb7cdf04850e33a11f80c42bf660b3", "gate": "dockerfile", "trigger": "instruction",
					"message": "no HEALTHCHECK <>&", "action": action, "policy_id": "default", "recommendation": "",
					"rule_id": "rule_1", "allowlisted": false, "allowlist_match": nil, "inherited_from_base": nil,
				}},
				"remediations": []any{},
			},
			"comparison_image_digest": nil,
			"evaluation_time":         evaluatedAt,
			"evaluation_problems":     []any{},
			"status":                  status,
			"final_action":            action,
			"final_action_reason":     "policy_evaluation",
			"image_allowlisted":       false,
			"image_denylisted":        false,
			"image_mapped_to_rule":    true,
			"matched_mapping_rule":    map[string]any{"id": "mapping_1", "name": "default", "registry": "*", "repository": "*"},
			"number_of_findings":      1,
		}},
	}
}

func vulnerabilities(findings []report.Vulnerability) []any {
	list := make([]any, 0, len(findings))
	for _, v := range findings {
		fix := v.Fixed
		if fix == "" {
			fix = "None"
		}
		list = append(list, map[string]any{
			"vuln": v.ID, "severity": v.Severity.String(), "fix": fix,
			"package": v.Package + "-" + v.Installed, "package_name": v.Package, "package_version": v.Installed,
			"package_type": "dpkg", "package_cpe": "None", "package_path": "pkgdb",
			"url": "https://security-tracker.debian.org/tracker/" + v.ID, "feed": "vulnerabilities", "feed_group": "debian:12",
			"nvd_data": []any{}, "vendor_data": []any{},
		})
	}
	return list
}
