package origin_test

import (
	"fmt"
	"testing"

	"github.com/pullgate/pullgate/authsvc/content/origin"
)

// FuzzParseContentRange: whatever is accepted is a part within its whole, in the
// only way to write it, but for leading zeros.
func FuzzParseContentRange(f *testing.F) {
	for _, header := range []string{"bytes 0-0/1", "bytes 5-9/10", "bytes 0-9/*", "bytes */10", "bytes 9-5/10", "bytes 0-10/10", "bytes -1-5/10", "bytes 0-9223372036854775807/9223372036854775807", ""} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		p, ok := origin.ParseContentRange(header)
		if !ok {
			return
		}
		if p.First < 0 || p.First > p.Last || p.Last >= p.Size || p.Length() < 1 {
			t.Errorf("%q is %+v", header, p)
		}
		again, ok := origin.ParseContentRange(fmt.Sprintf("bytes %d-%d/%d", p.First, p.Last, p.Size))
		if !ok || again != p {
			t.Errorf("%q is %+v, and written again %+v", header, p, again)
		}
	})
}

func TestS3Hosts(t *testing.T) {
	for _, host := range origin.S3Hosts("eu-west-1") {
		if !origin.ValidHost(host) {
			t.Errorf("%s is not valid", host)
		}
	}
	for region, want := range map[string]string{
		"eu-west-1":  "prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com",
		"us-east-1":  "prod-us-east-1-starport-layer-bucket.s3.amazonaws.com",
		"cn-north-1": "prod-cn-north-1-starport-layer-bucket.s3.cn-north-1.amazonaws.com.cn",
	} {
		found := false
		for _, host := range origin.S3Hosts(region) {
			found = found || host == want
		}
		if !found || !origin.ValidRegion(region) {
			t.Errorf("%s: %q lacks %s", region, origin.S3Hosts(region), want)
		}
	}
	for _, wrong := range []string{"", "eu", "eu-west-1.example.com/", "EU-WEST-1", "eu-west-1-"} {
		if origin.ValidRegion(wrong) {
			t.Errorf("%q is a region", wrong)
		}
	}
}
