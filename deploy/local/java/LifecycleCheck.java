import java.io.IOException;
import java.nio.file.*;
import java.util.*;
import org.elasticsearch.core.CheckedFunction;
import org.elasticsearch.xcontent.*;
import org.elasticsearch.xpack.core.ilm.*;
import org.elasticsearch.xpack.core.ilm.action.PutLifecycleAction;

/** Reads an index lifecycle policy with Elasticsearch's own parser and rules; the server that would act on it is on no registry. */
public class LifecycleCheck {
    private static final List<NamedXContentRegistry.Entry> KNOWN = new ArrayList<>();

    private static void action(String name, CheckedFunction<XContentParser, LifecycleAction, IOException> parse) {
        KNOWN.add(new NamedXContentRegistry.Entry(LifecycleAction.class, new ParseField(name), parse));
    }

    public static void main(String[] args) {
        KNOWN.add(new NamedXContentRegistry.Entry(LifecycleType.class,
                new ParseField(TimeseriesLifecycleType.TYPE), parser -> TimeseriesLifecycleType.INSTANCE));
        action(DeleteAction.NAME, DeleteAction::parse);
        action(ForceMergeAction.NAME, ForceMergeAction::parse);
        action(ReadOnlyAction.NAME, ReadOnlyAction::parse);
        action(RolloverAction.NAME, RolloverAction::parse);
        action(SetPriorityAction.NAME, SetPriorityAction::parse);
        action(ShrinkAction.NAME, ShrinkAction::parse);
        try (XContentParser parser = XContentType.JSON.xContent().createParser(new NamedXContentRegistry(KNOWN),
                DeprecationHandler.THROW_UNSUPPORTED_OPERATION, Files.readString(Path.of(args[0])))) {
            var request = PutLifecycleAction.Request.parseRequest("policy", parser);
            var wrong = request.validate();
            if (wrong != null) throw wrong;
            System.out.println("accepted: phases " + new TreeSet<>(request.getPolicy().getPhases().keySet()));
        } catch (Exception e) {
            for (Throwable cause = e; cause != null; cause = cause.getCause()) System.err.println("refused: " + cause.getMessage());
            System.exit(1);
        }
    }
}
