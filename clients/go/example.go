// Deploys a small web server with Viridian, then a second version of it.
//
// Shows what a client needs: a stream that survives a lost connection, calls that
// may be repeated, guards against what others did meanwhile, and refusals that a
// program can understand. See README.md for how to run it.
package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"sort"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	api "viridian.example/gen/viridian/deployment/v1"
)

func main() {
	log.SetFlags(0)
	options := parseOptions()
	connection, err := connect(options)
	check(err)
	defer connection.Close()
	ctx := context.Background()
	if options.token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+options.token)
	}
	run(ctx, api.NewDeploymentServiceClient(connection), options.deployment)
}

func run(ctx context.Context, client api.DeploymentServiceClient, reference string) {
	project, name, found := strings.Cut(reference, "/")
	if !found {
		log.Fatal("call it PROJECT/NAME")
	}
	reply, err := call(ctx, client.CreateDeployment, &api.CreateDeploymentRequest{
		Project:         project,
		Name:            name,
		TargetReplicas:  2,
		InitialRevision: webServer("/"),
		RequestId:       newRequestID(),
	})
	check(err)
	created := reply.Deployment
	fmt.Println("created", reference)

	// One stream for all that follows: it has every change, each once.
	events := &watch{client: client, deployment: created.Id}
	until(ctx, events, func(now *api.Deployment) bool {
		return now.Lifecycle == api.DeploymentLifecycle_DEPLOYMENT_LIFECYCLE_READY
	})
	fmt.Println("READY with revision 1")

	// The same request id makes it the same call, however often it is sent.
	request := &api.CreateRevisionRequest{
		Deployment: created.Id,
		Spec:       slowWebServer("/usr"),
		Activate:   true,
		RequestId:  newRequestID(),
		Reason:     "release 2",
	}
	first, err := call(ctx, client.CreateRevision, request)
	check(err)
	again, err := call(ctx, client.CreateRevision, request)
	check(err)
	times := "twice"
	if proto.Equal(first, again) {
		times = "once"
	}
	fmt.Printf("activated revision %d %s\n", first.Revision.Number, times)

	promote(ctx, client, events, created.Id)

	// All that is wrong is said at once.
	_, err = call(ctx, client.UpdateDeployment, &api.UpdateDeploymentRequest{
		Deployment:           created.Id,
		TargetReplicas:       1001,
		RevisionHistoryLimit: -1,
		RequestId:            newRequestID(),
	})
	expectRefusal(err)

	history, err := call(ctx, client.ListHistory, &api.ListHistoryRequest{Deployment: created.Id})
	check(err)
	var phases []string
	for index := len(history.Entries) - 1; index >= 0; index-- {
		if phase := history.Entries[index].Phase; phase != "EVALUATE" {
			phases = append(phases, phase)
		}
	}
	fmt.Println("history:", strings.Join(phases, ", "))

	_, err = call(ctx, client.DeleteDeployment, &api.DeleteDeploymentRequest{
		Deployment: created.Id,
		RequestId:  newRequestID(),
	})
	check(err)
	until(ctx, events, func(now *api.Deployment) bool {
		return now.Lifecycle == api.DeploymentLifecycle_DEPLOYMENT_LIFECYCLE_DESTROYED
	})
	fmt.Println("deleted")
}

func promote(ctx context.Context, client api.DeploymentServiceClient, events *watch, id string) {
	// Too early: its replicas are not checked yet.
	_, err := call(ctx, client.PromoteDeployment, &api.PromoteDeploymentRequest{
		Deployment: id, ExpectedRevision: "2", RequestId: newRequestID(),
	})
	expectRefusal(err)

	gate := until(ctx, events, func(now *api.Deployment) bool {
		return now.SubStep == api.DeploymentSubStep_DEPLOYMENT_SUB_STEP_AWAITING_PROMOTION
	})
	fmt.Println("all of revision 2 is ready, and waits for its promotion")

	// Guards: promote what was seen, and nothing else.
	_, err = call(ctx, client.PromoteDeployment, &api.PromoteDeploymentRequest{
		Deployment: id, ExpectedRevision: "1", RequestId: newRequestID(),
	})
	expectRefusal(err)
	_, err = call(ctx, client.PromoteDeployment, &api.PromoteDeploymentRequest{
		Deployment:         id,
		ExpectedGeneration: proto.Int64(gate.Generation - 1),
		RequestId:          newRequestID(),
	})
	expectRefusal(err)
	promoted, err := call(ctx, client.PromoteDeployment, &api.PromoteDeploymentRequest{
		Deployment:         id,
		ExpectedRevision:   gate.DeployingRevisionId,
		ExpectedGeneration: proto.Int64(gate.Generation),
		RequestId:          newRequestID(),
		Reason:             "looks good",
	})
	check(err)
	fmt.Printf("promoted %d routes\n", len(promoted.PromotedRouteIds))
	until(ctx, events, func(now *api.Deployment) bool {
		return now.Sequence >= promoted.Deployment.Sequence
	})
}

// Calls a method. It may have been done though no reply came: only calls that read, or
// that have a request id, are made again.
func call[Request, Reply any](
	ctx context.Context,
	method func(context.Context, *Request, ...grpc.CallOption) (*Reply, error),
	request *Request,
) (*Reply, error) {
	mutation, isMutation := any(request).(interface{ GetRequestId() string })
	harmless := !isMutation || mutation.GetRequestId() != ""
	for attempt := 1; ; attempt++ {
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		reply, err := method(limited, request)
		cancel()
		if err == nil {
			return reply, nil
		}
		refusal := newRefusal(err)
		if attempt == 5 || !harmless || !refusal.mayPass() {
			return nil, err
		}
		time.Sleep(refusal.delay(attempt))
	}
}

// Gives every change of a deployment once, whatever happens in between.
type watch struct {
	client     api.DeploymentServiceClient
	deployment string
	stream     api.DeploymentService_WatchDeploymentsClient
	cancel     context.CancelFunc
	token      string
	failures   int
}

func (w *watch) next(ctx context.Context) (*api.DeploymentEvent, error) {
	for {
		event, err := w.receive(ctx)
		if err == nil {
			w.token, w.failures = event.ResumeToken, 0
			return event, nil
		}
		w.cancel()
		w.stream = nil
		refusal := newRefusal(err)
		if refusal.reason == "RESUME_TOKEN_EXPIRED" {
			w.token = "" // What was missed is forgotten: begin with how it is now.
		} else if !refusal.mayPass() {
			return nil, err
		}
		w.failures++
		log.Printf("the watch ended (%s); it goes on behind the last event", refusal.code)
		time.Sleep(refusal.delay(w.failures))
	}
}

func (w *watch) receive(ctx context.Context) (*api.DeploymentEvent, error) {
	if w.stream == nil {
		request := &api.WatchDeploymentsRequest{ResumeToken: w.token}
		if w.token == "" {
			request.Deployments = []string{w.deployment}
		}
		ctx, w.cancel = context.WithCancel(ctx)
		stream, err := w.client.WatchDeployments(ctx, request)
		if err != nil {
			return nil, err
		}
		w.stream = stream
	}
	for {
		message, err := w.stream.Recv()
		if err != nil {
			return nil, err
		}
		// The other kind is a heartbeat.
		if event := message.GetEvent(); event != nil {
			return event, nil
		}
	}
}

// Takes events until one shows the deployment as it ought to become.
func until(ctx context.Context, events *watch, isSo func(*api.Deployment) bool) *api.Deployment {
	for {
		event, err := events.next(ctx)
		check(err)
		now := event.Deployment
		var blockers []string
		for _, blocker := range now.Blockers {
			blockers = append(blockers, blocker.Message)
		}
		state := strings.TrimPrefix(now.Lifecycle.String(), "DEPLOYMENT_LIFECYCLE_")
		log.Printf("#%d %s %s", now.Sequence, state, strings.Join(blockers, "; "))
		if isSo(now) {
			return now
		}
	}
}

// What an error says to a program: a code, a reason, and details.
type refusal struct {
	code       string
	reason     string
	retryAfter time.Duration
	lines      []string
}

func newRefusal(err error) refusal {
	// A lost connection and a deadline have no details.
	status := status.Convert(err)
	refusal := refusal{code: code.Code(status.Code()).String()}
	for _, detail := range status.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			refusal.reason = detail.Reason
			var lines []string
			for key, value := range detail.Metadata {
				lines = append(lines, key+": "+value)
			}
			sort.Strings(lines)
			refusal.lines = append(refusal.lines, lines...)
		case *errdetails.BadRequest:
			for _, it := range detail.FieldViolations {
				refusal.lines = append(refusal.lines, it.Field+": "+it.Description)
			}
		case *errdetails.PreconditionFailure:
			for _, it := range detail.Violations {
				refusal.lines = append(refusal.lines, it.Type+": "+it.Description)
			}
		case *errdetails.RetryInfo:
			seconds, nanos := detail.RetryDelay.GetSeconds(), detail.RetryDelay.GetNanos()
			refusal.retryAfter = time.Duration(seconds)*time.Second + time.Duration(nanos)
		}
	}
	return refusal
}

// Whether the same call may be done later.
func (r refusal) mayPass() bool {
	for _, passing := range []codes.Code{codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded} {
		if r.code == code.Code(passing).String() {
			return true
		}
	}
	return false
}

func (r refusal) delay(failures int) time.Duration {
	delay := r.retryAfter
	if delay == 0 {
		delay = 100 * time.Millisecond << failures
	}
	if delay > 5*time.Second {
		delay = 5 * time.Second
	}
	return delay
}

func expectRefusal(err error) {
	if err == nil {
		log.Fatal("it was not refused")
	}
	refusal := newRefusal(err)
	fmt.Println("refused:", refusal.code, refusal.reason)
	for _, line := range refusal.lines {
		fmt.Println("  " + line)
	}
}

// A program that the agent can run on any machine with Python.
func webServer(folder string) *api.RevisionSpec {
	serve := `exec python3 -m http.server --bind 127.0.0.1 --directory ` + folder + ` "$PORT"`
	return &api.RevisionSpec{
		Command:     []string{"sh", "-c", serve},
		HealthCheck: &api.HealthCheck{Interval: durationpb.New(200 * time.Millisecond)},
	}
}

// The same program, checked for the first time when it has had two seconds to start.
func slowWebServer(folder string) *api.RevisionSpec {
	spec := webServer(folder)
	spec.HealthCheck.InitialDelay = durationpb.New(2 * time.Second)
	return spec
}

type commandLine struct {
	deployment, server, token, ca, cert, key string
	tls                                      bool
}

func parseOptions() commandLine {
	var options commandLine
	flag.StringVar(&options.server, "server", "127.0.0.1:50051", "HOST:PORT")
	flag.StringVar(&options.token, "token", "", "the bearer token to show")
	flag.BoolVar(&options.tls, "tls", false, "speak TLS")
	flag.StringVar(&options.ca, "ca", "", "the file of the authority to trust; implies -tls")
	flag.StringVar(&options.cert, "cert", "", "the file of the certificate to show")
	flag.StringVar(&options.key, "key", "", "the file of its key")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("what to call it: PROJECT/NAME")
	}
	options.deployment = flag.Arg(0)
	return options
}

func connect(options commandLine) (*grpc.ClientConn, error) {
	// So that a connection that is gone is noticed on an idle watch, too.
	alive := grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second})
	encoding := grpc.WithDefaultCallOptions(grpc.ForceCodec(codec{}))
	if !options.tls && options.ca == "" {
		return grpc.Dial(options.server, grpc.WithInsecure(), alive, encoding)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if options.ca != "" {
		authority, err := os.ReadFile(options.ca)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(authority) {
			return nil, errors.New("no certificate in " + options.ca)
		}
	}
	if options.cert != "" {
		certificate, err := tls.LoadX509KeyPair(options.cert, options.key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	secure := grpc.WithTransportCredentials(credentials.NewTLS(config))
	return grpc.Dial(options.server, secure, alive, encoding)
}

// The codec of the library in Debian 12 cannot read what today's protoc-gen-go generates. That
// of a newer library is the same as this one.
type codec struct{}

func (codec) Marshal(message interface{}) ([]byte, error) {
	return proto.Marshal(message.(proto.Message))
}

func (codec) Unmarshal(data []byte, message interface{}) error {
	return proto.Unmarshal(data, message.(proto.Message))
}

func (codec) Name() string {
	return "proto"
}

func newRequestID() string {
	var id [16]byte
	_, err := rand.Read(id[:])
	check(err)
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
