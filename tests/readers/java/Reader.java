import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.msgpack.core.MessagePack;
import org.msgpack.value.Value;

/**
 * Reads topics to their end by the published schema alone and prints a line of JSON for each record.
 *
 * <p>java Reader HOST:PORT PREFIX SCHEMA_FOLDER END_KEY; tombstones with the key END_KEY are left out.
 */
public final class Reader {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final JsonNodeFactory NODES = JsonNodeFactory.instance;
  private static final Set<String> KNOWN =
      Set.of("title", "description", "default", "type", "enum", "contentEncoding", "items", "properties", "required",
          "additionalProperties");

  private final JsonNode definitions;
  private final Map<String, List<String>> kinds = new HashMap<>();

  private Reader(Path folder, String prefix) throws Exception {
    definitions = JSON.readTree(folder.resolve("messages.schema.json").toFile()).get("$defs");
    for (JsonNode channel : JSON.readTree(folder.resolve("asyncapi.json").toFile()).get("channels")) {
      List<String> names = new ArrayList<>();
      channel.get("messages").fieldNames().forEachRemaining(names::add);
      kinds.put(channel.get("address").asText().replaceFirst("^affect\\.", prefix + "."), names);
    }
  }

  public static void main(String[] arguments) throws Exception {
    Reader reader = new Reader(Path.of(arguments[2]), arguments[1]);
    Properties settings = new Properties();
    settings.put("bootstrap.servers", arguments[0]);
    settings.put("isolation.level", "read_committed");
    settings.put("allow.auto.create.topics", "false");
    try (KafkaConsumer<byte[], byte[]> consumer =
        new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      List<TopicPartition> places = new ArrayList<>();
      for (String topic : reader.kinds.keySet()) {
        for (PartitionInfo one : consumer.partitionsFor(topic)) places.add(new TopicPartition(topic, one.partition()));
      }
      consumer.assign(places);
      consumer.seekToBeginning(places);
      Map<TopicPartition, Long> ends = consumer.endOffsets(places);
      while (places.stream().anyMatch(place -> consumer.position(place) < ends.get(place))) {
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
          String key = new String(record.key(), StandardCharsets.UTF_8);
          if (record.value() != null || !key.equals(arguments[3])) System.out.println(reader.line(record, key));
        }
      }
    }
  }

  private String line(ConsumerRecord<byte[], byte[]> record, String key) throws Exception {
    ObjectNode told = NODES.objectNode().put("topic", record.topic()).put("partition", record.partition());
    told.put("offset", record.offset()).put("key", key);
    if (record.value() == null) {
      told.putNull("kind").putNull("value").putArray("faults");
      return JSON.writeValueAsString(told);
    }
    JsonNode value = decode(record);
    ObjectNode first = null;
    for (String kind : kinds.get(record.topic())) {
      List<String> faults = new ArrayList<>();
      ObjectNode one = told.deepCopy().put("kind", kind);
      one.set("value", read(value, definitions.get(kind), kind, faults));
      faults.forEach(one.putArray("faults")::add);
      if (faults.isEmpty()) return JSON.writeValueAsString(one);
      first = first == null ? one : first;
    }
    return JSON.writeValueAsString(first);
  }

  private static JsonNode decode(ConsumerRecord<byte[], byte[]> record) throws Exception {
    Header header = record.headers().lastHeader("content-type");
    String type = header == null ? "application/msgpack" : new String(header.value(), StandardCharsets.UTF_8);
    if (type.equals("application/json")) return JSON.readTree(record.value());
    if (!type.equals("application/msgpack")) throw new IllegalArgumentException("content type " + type);
    return tree(MessagePack.newDefaultUnpacker(record.value()).unpackValue());
  }

  private static JsonNode tree(Value value) {
    switch (value.getValueType()) {
      case NIL:
        return NODES.nullNode();
      case BOOLEAN:
        return NODES.booleanNode(value.asBooleanValue().getBoolean());
      case INTEGER:
        return NODES.numberNode(value.asIntegerValue().toLong());
      case FLOAT:
        return NODES.numberNode(value.asFloatValue().toDouble());
      case STRING:
        return NODES.textNode(value.asStringValue().asString());
      case BINARY:
        return NODES.binaryNode(value.asBinaryValue().asByteArray());
      case ARRAY:
        ArrayNode array = NODES.arrayNode();
        value.asArrayValue().forEach(item -> array.add(tree(item)));
        return array;
      case MAP:
        ObjectNode map = NODES.objectNode();
        value.asMapValue().map().forEach((name, item) -> map.set(name.asStringValue().asString(), tree(item)));
        return map;
      default:
        throw new IllegalArgumentException("MessagePack " + value.getValueType());
    }
  }

  /** What a reader of the schema sees of a value: fields it does not know are left out. */
  private JsonNode read(JsonNode value, JsonNode schema, String place, List<String> faults) {
    if (schema.has("$ref")) {
      String[] steps = schema.get("$ref").asText().split("/");
      return read(value, definitions.get(steps[steps.length - 1]), place, faults);
    }
    if (schema.has("allOf")) return read(value, schema.get("allOf").get(0), place, faults);
    if (schema.has("anyOf")) {
      for (JsonNode choice : schema.get("anyOf")) {
        List<String> found = new ArrayList<>();
        JsonNode seen = read(value, choice, place, found);
        if (found.isEmpty()) return seen;
      }
      faults.add(place + ": is none of what it may be");
      return value;
    }
    schema.fieldNames().forEachRemaining(key -> {
      if (!KNOWN.contains(key)) faults.add(place + ": the schema says " + key + ", which this reader does not know");
    });
    if (schema.has("enum")) {
      boolean among = false;
      for (JsonNode choice : schema.get("enum")) among |= choice.equals(value);
      if (!among) faults.add(place + ": " + value + " is not one of " + schema.get("enum"));
    }
    String type = schema.path("type").asText("any");
    boolean right;
    switch (type) {
      case "any":
        return value;
      case "null":
        right = value.isNull();
        break;
      case "boolean":
        right = value.isBoolean();
        break;
      case "integer":
        right = value.isIntegralNumber();
        break;
      case "number":
        right = value.isNumber();
        break;
      case "string":
        right = value.isTextual() || (value.isBinary() && schema.has("contentEncoding"));
        break;
      case "array":
        if (value.isArray()) return readAll(value, schema.get("items"), place, faults);
        right = false;
        break;
      case "object":
        if (value.isObject()) return readFields(value, schema, place, faults);
        right = false;
        break;
      default:
        right = false;
    }
    if (!right) faults.add(place + ": is no " + type);
    return value;
  }

  private JsonNode readAll(JsonNode value, JsonNode schema, String place, List<String> faults) {
    ArrayNode seen = NODES.arrayNode();
    for (JsonNode item : value) seen.add(read(item, schema, place + "[" + seen.size() + "]", faults));
    return seen;
  }

  private JsonNode readFields(JsonNode value, JsonNode schema, String place, List<String> faults) {
    ObjectNode seen = NODES.objectNode();
    for (JsonNode name : schema.path("required")) {
      if (!value.has(name.asText())) faults.add(place + ": lacks " + name.asText());
    }
    value.fields().forEachRemaining(field -> {
      JsonNode known = schema.path("properties").get(field.getKey());
      if (known == null) known = schema.get("additionalProperties");
      if (known != null) seen.set(field.getKey(), read(field.getValue(), known, place + "." + field.getKey(), faults));
    });
    return seen;
  }
}
