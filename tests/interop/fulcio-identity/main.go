// Command fulcio-identity says which identity Fulcio itself would certify for the claims of a token.
//
//	fulcio-identity ISSUER_FILE <CLAIMS >IDENTITIES
//
// For each {"claims": {...}} it writes one line: {"name": {...}, "extensions": {...}} or {"error": "..."}.
// All between the issuer file and the certificate is Fulcio's code, up to its ephemeral CA. Only the signature and the
// times of a token are not checked: claims alone have no signature, and vectors outlive their times.
package main

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"slices"
	"strconv"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/sigstore/fulcio/pkg/ca/ephemeralca"
	"github.com/sigstore/fulcio/pkg/config"
	"github.com/sigstore/fulcio/pkg/identity"
	fulciolog "github.com/sigstore/fulcio/pkg/log"
	"github.com/sigstore/fulcio/pkg/server"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"go.uber.org/zap"
)

const (
	// Tags in a subjectAltName. The third kind of name that Fulcio writes is an otherName.
	rfc822Name = 1
	uriName    = 6
	// Extensions up to this arc are bare bytes, the others DER.
	lastBareArc = 6
)

var fulcioArc = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1}

type answer struct {
	Name       map[string]string `json:"name,omitempty"`
	Extensions map[string]string `json:"extensions,omitempty"`
	Error      string            `json:"error,omitempty"`
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: fulcio-identity ISSUER_FILE <CLAIMS >IDENTITIES")
	}
	if err := run(os.Args[1], os.Stdin, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(issuerFile string, in io.Reader, out io.Writer) error {
	oracle, err := newOracle(issuerFile)
	if err != nil {
		return err
	}
	requests, answers := json.NewDecoder(in), json.NewEncoder(out)
	answers.SetEscapeHTML(false)
	for requests.More() {
		// Not parsed here: what a number is, and which of two equal keys counts, is for Fulcio to say.
		var request struct {
			Claims json.RawMessage `json:"claims"`
		}
		if err := requests.Decode(&request); err != nil {
			return err
		}
		certified, err := oracle.certify(request.Claims)
		if err != nil {
			certified = answer{Error: err.Error()}
		}
		if err := answers.Encode(certified); err != nil {
			return err
		}
	}
	return nil
}

// oracle is a Fulcio that never touches the network.
type oracle struct {
	ctx  context.Context
	pool identity.IssuerPool
	ca   *ephemeralca.EphemeralCA
}

func newOracle(issuerFile string) (*oracle, error) {
	text, err := os.ReadFile(issuerFile)
	if err != nil {
		return nil, err
	}
	// While it reads an issuer file, Fulcio asks every issuer for its keys, and logs to standard output which of them
	// did not answer. Nothing here needs the keys.
	fulciolog.Logger = zap.NewNop().Sugar()
	http.DefaultTransport = offline{}
	cfg, err := config.Read(text)
	if err != nil {
		return nil, err
	}
	identity.Authorize = authorize
	ca, err := ephemeralca.NewEphemeralCA()
	if err != nil {
		return nil, err
	}
	return &oracle{config.With(context.Background(), cfg), server.NewIssuerPool(cfg), ca}, nil
}

type offline struct{}

func (offline) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("offline")
}

// authorize replaces Fulcio's check of a token. Of the checks only issuer and audience are left.
func authorize(ctx context.Context, token string, _ ...config.InsecureOIDCConfigOption) (*oidc.IDToken, error) {
	// Nothing but a verifier can put claims into an oidc.IDToken.
	verifier := oidc.NewVerifier("", nil, &oidc.Config{
		InsecureSkipSignatureCheck: true,
		SkipExpiryCheck:            true,
		SkipIssuerCheck:            true,
		SkipClientIDCheck:          true,
	})
	parsed, err := verifier.Verify(ctx, token)
	if err != nil {
		return nil, err
	}
	issuer, known := config.FromContext(ctx).GetIssuer(parsed.Issuer)
	if !known || !slices.Contains(parsed.Audience, issuer.ClientID) {
		return nil, fmt.Errorf("no such issuer and audience: %q, %q", parsed.Issuer, parsed.Audience)
	}
	return parsed, nil
}

func (o *oracle) certify(claims []byte) (answer, error) {
	base64url := base64.RawURLEncoding.EncodeToString
	token := base64url([]byte(`{"alg":"RS256"}`)) + "." + base64url(claims) + "." + base64url([]byte("unsigned"))
	principal, err := o.pool.Authenticate(o.ctx, token)
	if err != nil {
		return answer{}, err
	}
	// Whose key is certified makes no difference to the identity, and the CA has one at hand.
	_, signer := o.ca.GetSignerWithChain()
	issued, err := o.ca.CreateCertificate(o.ctx, principal, signer.Public())
	if err != nil {
		return answer{}, err
	}
	return read(issued.FinalCertificate)
}

// read takes names and values from the bytes of a certificate: crypto/x509 parses URIs, and would print them anew.
func read(certificate *x509.Certificate) (answer, error) {
	found := answer{Extensions: map[string]string{}}
	for _, extension := range certificate.Extensions {
		arcs := len(extension.Id) - 1
		var err error
		if extension.Id.Equal(cryptoutils.SANOID) {
			found.Name, err = readName(extension)
		} else if arc := extension.Id[arcs]; extension.Id[:arcs].Equal(fulcioArc) {
			found.Extensions[strconv.Itoa(arc)], err = readValue(arc, extension.Value)
		}
		if err != nil {
			return answer{}, err
		}
	}
	return found, nil
}

func readName(extension pkix.Extension) (map[string]string, error) {
	var names []asn1.RawValue
	if _, err := asn1.Unmarshal(extension.Value, &names); err != nil || len(names) != 1 {
		return nil, fmt.Errorf("not one name but %d: %w", len(names), err)
	}
	switch text := string(names[0].Bytes); names[0].Tag {
	case rfc822Name:
		return map[string]string{"email": text}, nil
	case uriName:
		return map[string]string{"uri": text}, nil
	}
	username, err := cryptoutils.UnmarshalOtherNameSAN([]pkix.Extension{extension})
	return map[string]string{"username": username}, err
}

func readValue(arc int, value []byte) (string, error) {
	if arc <= lastBareArc {
		return string(value), nil
	}
	var text asn1.RawValue
	if rest, err := asn1.Unmarshal(value, &text); err != nil || len(rest) > 0 || text.Tag != asn1.TagUTF8String {
		return "", fmt.Errorf("extension %d is not one UTF8String", arc)
	}
	return string(text.Bytes), nil
}
