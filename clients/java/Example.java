import static com.viridian.deployment.v1.DeploymentLifecycle.DEPLOYMENT_LIFECYCLE_DESTROYED;
import static com.viridian.deployment.v1.DeploymentLifecycle.DEPLOYMENT_LIFECYCLE_READY;
import static com.viridian.deployment.v1.DeploymentSubStep.DEPLOYMENT_SUB_STEP_AWAITING_PROMOTION;

import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.PreconditionFailure;
import com.google.rpc.RetryInfo;
import com.viridian.deployment.v1.Blocker;
import com.viridian.deployment.v1.CreateDeploymentRequest;
import com.viridian.deployment.v1.CreateRevisionRequest;
import com.viridian.deployment.v1.DeleteDeploymentRequest;
import com.viridian.deployment.v1.Deployment;
import com.viridian.deployment.v1.DeploymentEvent;
import com.viridian.deployment.v1.DeploymentServiceGrpc;
import com.viridian.deployment.v1.DeploymentServiceGrpc.DeploymentServiceBlockingStub;
import com.viridian.deployment.v1.HealthCheck;
import com.viridian.deployment.v1.HistoryEntry;
import com.viridian.deployment.v1.ListHistoryRequest;
import com.viridian.deployment.v1.PromoteDeploymentRequest;
import com.viridian.deployment.v1.RevisionSpec;
import com.viridian.deployment.v1.UpdateDeploymentRequest;
import com.viridian.deployment.v1.WatchDeploymentsRequest;
import com.viridian.deployment.v1.WatchDeploymentsResponse;
import io.grpc.ChannelCredentials;
import io.grpc.Context;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.stream.Collectors;

/**
 * Deploys a small web server with Viridian, then a second version of it.
 *
 * <p>Shows what a client needs: a stream that survives a lost connection, calls that may be
 * repeated, guards against what others did meanwhile, and refusals that a program can
 * understand. See README.md for how to run it.
 */
public final class Example {
    private final DeploymentServiceBlockingStub stub;

    private Example(DeploymentServiceBlockingStub stub) {
        this.stub = stub;
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = parse(arguments);
        ManagedChannel channel = connect(options);
        DeploymentServiceBlockingStub stub = DeploymentServiceGrpc.newBlockingStub(channel);
        if (options.containsKey("--token")) {
            Metadata headers = new Metadata();
            Metadata.Key<String> key =
                    Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
            headers.put(key, "Bearer " + options.get("--token"));
            stub = stub.withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers));
        }
        try {
            new Example(stub).run(options.get(""));
        } finally {
            channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
        }
    }

    private void run(String reference) throws InterruptedException {
        String[] names = reference.split("/", 2);
        Deployment created =
                call(
                                it -> it::createDeployment,
                                CreateDeploymentRequest.newBuilder()
                                        .setProject(names[0])
                                        .setName(names[1])
                                        .setTargetReplicas(2)
                                        .setInitialRevision(webServer("/"))
                                        .setRequestId(newRequestId())
                                        .build())
                        .getDeployment();
        say("created " + reference);

        // One stream for all that follows: it has every change, each once.
        try (Watch events = new Watch(created.getId())) {
            events.until(it -> it.getLifecycle() == DEPLOYMENT_LIFECYCLE_READY);
            say("READY with revision 1");
            activate(created.getId());
            promote(events, created.getId());
            refuseAndList(created.getId());
            call(
                    it -> it::deleteDeployment,
                    DeleteDeploymentRequest.newBuilder()
                            .setDeployment(created.getId())
                            .setRequestId(newRequestId())
                            .build());
            events.until(it -> it.getLifecycle() == DEPLOYMENT_LIFECYCLE_DESTROYED);
            say("deleted");
        }
    }

    private void activate(String id) throws InterruptedException {
        // The same request id makes it the same call, however often it is sent.
        CreateRevisionRequest request =
                CreateRevisionRequest.newBuilder()
                        .setDeployment(id)
                        .setSpec(slowWebServer("/usr"))
                        .setActivate(true)
                        .setRequestId(newRequestId())
                        .setReason("release 2")
                        .build();
        var first = call(it -> it::createRevision, request);
        var again = call(it -> it::createRevision, request);
        String times = first.equals(again) ? "once" : "twice";
        say("activated revision " + first.getRevision().getNumber() + " " + times);
    }

    private void promote(Watch events, String id) throws InterruptedException {
        // Too early: its replicas are not checked yet.
        expectRefusal(promotion(id).setExpectedRevision("2"));

        Deployment gate =
                events.until(it -> it.getSubStep() == DEPLOYMENT_SUB_STEP_AWAITING_PROMOTION);
        say("all of revision 2 is ready, and waits for its promotion");

        // Guards: promote what was seen, and nothing else.
        expectRefusal(promotion(id).setExpectedRevision("1"));
        expectRefusal(promotion(id).setExpectedGeneration(gate.getGeneration() - 1));
        var promoted =
                call(
                        it -> it::promoteDeployment,
                        promotion(id)
                                .setExpectedRevision(gate.getDeployingRevisionId())
                                .setExpectedGeneration(gate.getGeneration())
                                .setReason("looks good")
                                .build());
        say("promoted " + promoted.getPromotedRouteIdsCount() + " routes");
        long sequence = promoted.getDeployment().getSequence();
        events.until(it -> it.getSequence() >= sequence);
    }

    private void refuseAndList(String id) throws InterruptedException {
        // All that is wrong is said at once.
        UpdateDeploymentRequest invalid =
                UpdateDeploymentRequest.newBuilder()
                        .setDeployment(id)
                        .setTargetReplicas(1001)
                        .setRevisionHistoryLimit(-1)
                        .setRequestId(newRequestId())
                        .build();
        expectRefusal(() -> call(it -> it::updateDeployment, invalid));

        var history =
                call(it -> it::listHistory, ListHistoryRequest.newBuilder().setDeployment(id).build());
        List<String> phases =
                history.getEntriesList().stream()
                        .map(HistoryEntry::getPhase)
                        .filter(phase -> !phase.equals("EVALUATE"))
                        .collect(Collectors.toList());
        Collections.reverse(phases);
        say("history: " + String.join(", ", phases));
    }

    private static PromoteDeploymentRequest.Builder promotion(String id) {
        return PromoteDeploymentRequest.newBuilder().setDeployment(id).setRequestId(newRequestId());
    }

    /**
     * Calls a method. It may have been done though no reply came: only calls that read, or that
     * have a request id, are made again.
     */
    private <Q extends Message, R> R call(
            Function<DeploymentServiceBlockingStub, Function<Q, R>> method, Q request)
            throws InterruptedException {
        var field = request.getDescriptorForType().findFieldByName("request_id");
        boolean harmless = field == null || !request.getField(field).equals("");
        for (int attempt = 1; ; attempt++) {
            try {
                var limited = stub.withDeadlineAfter(10, TimeUnit.SECONDS);
                return method.apply(limited).apply(request);
            } catch (StatusRuntimeException error) {
                Refusal refusal = new Refusal(error);
                if (attempt == 5 || !harmless || !refusal.mayPass()) {
                    throw error;
                }
                Thread.sleep(refusal.delayMillis(attempt));
            }
        }
    }

    /** Gives every change of a deployment once, whatever happens in between. */
    private final class Watch implements AutoCloseable {
        private final String deployment;
        private String token = "";
        private int failures;
        private Context.CancellableContext context;
        private Iterator<WatchDeploymentsResponse> stream;

        Watch(String deployment) {
            this.deployment = deployment;
        }

        /** Takes events until one shows the deployment as it ought to become. */
        Deployment until(Predicate<Deployment> isSo) throws InterruptedException {
            while (true) {
                Deployment now = next().getDeployment();
                String state = now.getLifecycle().name().replaceFirst("DEPLOYMENT_LIFECYCLE_", "");
                String blockers =
                        now.getBlockersList().stream()
                                .map(Blocker::getMessage)
                                .collect(Collectors.joining("; "));
                log("#" + now.getSequence() + " " + state + " " + blockers);
                if (isSo.test(now)) {
                    return now;
                }
            }
        }

        private DeploymentEvent next() throws InterruptedException {
            while (true) {
                try {
                    DeploymentEvent event = receive();
                    token = event.getResumeToken();
                    failures = 0;
                    return event;
                } catch (StatusRuntimeException error) {
                    close();
                    Refusal refusal = new Refusal(error);
                    if (refusal.reason.equals("RESUME_TOKEN_EXPIRED")) {
                        token = ""; // What was missed is forgotten: begin with how it is now.
                    } else if (!refusal.mayPass()) {
                        throw error;
                    }
                    failures++;
                    log("the watch ended (" + refusal.code + "); it goes on behind the last event");
                    Thread.sleep(refusal.delayMillis(failures));
                }
            }
        }

        private DeploymentEvent receive() {
            if (stream == null) {
                WatchDeploymentsRequest.Builder request =
                        WatchDeploymentsRequest.newBuilder().setResumeToken(token);
                if (token.isEmpty()) {
                    request.addDeployments(deployment);
                }
                // The iterator has no end of its own: the context cancels the call.
                context = Context.current().withCancellation();
                Context before = context.attach();
                try {
                    stream = stub.watchDeployments(request.build());
                } finally {
                    context.detach(before);
                }
            }
            while (stream.hasNext()) {
                WatchDeploymentsResponse message = stream.next();
                // The other kind is a heartbeat.
                if (message.hasEvent()) {
                    return message.getEvent();
                }
            }
            throw Status.UNAVAILABLE.withDescription("the stream ended").asRuntimeException();
        }

        @Override
        public void close() {
            if (context != null) {
                context.cancel(null);
            }
            stream = null;
        }
    }

    /** What an error says to a program: a code, a reason, and details. */
    private static final class Refusal {
        final String code;
        final List<String> lines = new ArrayList<>();
        String reason = "";
        long retryAfterMillis;

        Refusal(StatusRuntimeException error) {
            code = error.getStatus().getCode().name();
            // None when it is not from the server: a lost connection, a deadline.
            com.google.rpc.Status status = StatusProto.fromThrowable(error);
            if (status == null) {
                return;
            }
            try {
                for (Any detail : status.getDetailsList()) {
                    read(detail);
                }
            } catch (InvalidProtocolBufferException malformed) {
                throw new IllegalStateException("the details are no messages", malformed);
            }
        }

        private void read(Any detail) throws InvalidProtocolBufferException {
            if (detail.is(ErrorInfo.class)) {
                ErrorInfo info = detail.unpack(ErrorInfo.class);
                reason = info.getReason();
                new TreeMap<>(info.getMetadataMap())
                        .forEach((key, value) -> lines.add(key + ": " + value));
            } else if (detail.is(BadRequest.class)) {
                for (var it : detail.unpack(BadRequest.class).getFieldViolationsList()) {
                    lines.add(it.getField() + ": " + it.getDescription());
                }
            } else if (detail.is(PreconditionFailure.class)) {
                for (var it : detail.unpack(PreconditionFailure.class).getViolationsList()) {
                    lines.add(it.getType() + ": " + it.getDescription());
                }
            } else if (detail.is(RetryInfo.class)) {
                Duration delay = detail.unpack(RetryInfo.class).getRetryDelay();
                retryAfterMillis = delay.getSeconds() * 1_000 + delay.getNanos() / 1_000_000;
            }
        }

        /** Whether the same call may be done later. */
        boolean mayPass() {
            // A server gives a reason: without one, a connection was closed as a call began.
            boolean isLost = code.equals("UNKNOWN") && reason.isEmpty();
            return isLost
                    || List.of("UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED")
                            .contains(code);
        }

        long delayMillis(int failures) {
            long delay = retryAfterMillis > 0 ? retryAfterMillis : 100L << failures;
            return Math.min(delay, 5_000);
        }
    }

    private interface Attempt {
        void make() throws InterruptedException;
    }

    private void expectRefusal(PromoteDeploymentRequest.Builder request)
            throws InterruptedException {
        expectRefusal(() -> call(it -> it::promoteDeployment, request.build()));
    }

    private static void expectRefusal(Attempt attempt) throws InterruptedException {
        try {
            attempt.make();
        } catch (StatusRuntimeException error) {
            Refusal refusal = new Refusal(error);
            say("refused: " + refusal.code + " " + refusal.reason);
            refusal.lines.forEach(line -> say("  " + line));
            return;
        }
        throw new IllegalStateException("it was not refused");
    }

    /** A program that the agent can run on any machine with Python. */
    private static RevisionSpec.Builder webServer(String folder) {
        String serve =
                "exec python3 -m http.server --bind 127.0.0.1 --directory " + folder + " \"$PORT\"";
        Duration interval = Duration.newBuilder().setNanos(200_000_000).build();
        return RevisionSpec.newBuilder()
                .addAllCommand(List.of("sh", "-c", serve))
                .setHealthCheck(HealthCheck.newBuilder().setInterval(interval));
    }

    /** The same program, checked for the first time when it has had two seconds to start. */
    private static RevisionSpec.Builder slowWebServer(String folder) {
        RevisionSpec.Builder spec = webServer(folder);
        spec.getHealthCheckBuilder().setInitialDelay(Duration.newBuilder().setSeconds(2));
        return spec;
    }

    private static ManagedChannel connect(Map<String, String> options) throws IOException {
        ChannelCredentials credentials = InsecureChannelCredentials.create();
        if (options.containsKey("--tls") || options.containsKey("--ca")) {
            TlsChannelCredentials.Builder tls = TlsChannelCredentials.newBuilder();
            if (options.containsKey("--ca")) {
                tls.trustManager(new File(options.get("--ca")));
            }
            if (options.containsKey("--cert")) {
                tls.keyManager(new File(options.get("--cert")), new File(options.get("--key")));
            }
            credentials = tls.build();
        }
        String server = options.getOrDefault("--server", "127.0.0.1:50051");
        // So that a connection that is gone is noticed on an idle watch, too.
        return Grpc.newChannelBuilder(server, credentials)
                .keepAliveTime(30, TimeUnit.SECONDS)
                .keepAliveTimeout(10, TimeUnit.SECONDS)
                .build();
    }

    /** Options by name, and the deployment, PROJECT/NAME, without one. */
    private static Map<String, String> parse(String[] arguments) {
        Map<String, String> options = new HashMap<>();
        for (int at = 0; at < arguments.length; at++) {
            switch (arguments[at]) {
                case "--tls" -> options.put("--tls", "");
                case "--server", "--token", "--ca", "--cert", "--key" ->
                        options.put(arguments[at], arguments[++at]);
                default -> options.put("", arguments[at]);
            }
        }
        if (!options.getOrDefault("", "").contains("/")) {
            System.err.println(
                    "usage: Example [--server HOST:PORT] [--token TOKEN] [--tls] [--ca FILE]"
                            + " [--cert FILE --key FILE] PROJECT/NAME");
            System.exit(2);
        }
        return options;
    }

    private static String newRequestId() {
        return UUID.randomUUID().toString();
    }

    private static void say(String line) {
        System.out.println(line);
    }

    private static void log(String line) {
        System.err.println(line);
    }
}
