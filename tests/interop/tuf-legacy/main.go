// How gitsign and older releases of cosign get what they trust: sigstore's first TUF client chooses single files by the usage in
// their `custom` metadata. Prints, for each usage, the status and the SHA-256 of each file.
//
// Usage: tuf-legacy MIRROR ROOT
package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log"
	"os"

	"github.com/sigstore/sigstore/pkg/fulcioroots"
	"github.com/sigstore/sigstore/pkg/tuf"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: tuf-legacy MIRROR ROOT")
	}
	ctx := context.Background()
	root, err := os.ReadFile(os.Args[2])
	check(err)
	check(tuf.Initialize(ctx, os.Args[1], root))
	client, err := tuf.NewFromEnv(ctx)
	check(err)
	for _, usage := range []tuf.UsageKind{tuf.Fulcio, tuf.CTFE, tuf.TSA} {
		// Without names to fall back to: the metadata alone must lead to the files.
		files, err := client.GetTargetsByMeta(usage, nil)
		check(err)
		for _, file := range files {
			fmt.Printf("%s %s %x\n", usage, file.Status, sha256.Sum256(file.Target))
		}
	}
	_, err = fulcioroots.Get()
	check(err)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
