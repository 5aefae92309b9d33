// Reads topics to their end by the published schema alone and prints a line of JSON for each record.
//
// node reader.js HOST:PORT PREFIX SCHEMA_FOLDER END_KEY
//
// The end of a partition is a tombstone with the key END_KEY.
"use strict";
const fs = require("fs");
const path = require("path");
const { createRequire } = require("module");

const load = createRequire(path.join(process.env.READER_MODULES, "package.json"));
const { Kafka, logLevel } = load("kafkajs");
const msgpack = load("@msgpack/msgpack");

const [server, prefix, folder, endKey] = process.argv.slice(2);
const definitions = JSON.parse(fs.readFileSync(path.join(folder, "messages.schema.json"), "utf8")).$defs;
const channels = Object.values(JSON.parse(fs.readFileSync(path.join(folder, "asyncapi.json"), "utf8")).channels);
const kinds = new Map(
  channels.map((channel) => [channel.address.replace(/^affect\./, `${prefix}.`), Object.keys(channel.messages)]),
);
const IGNORED = new Set(["title", "description", "default"]);

/** What a reader of `schema` sees of `value`: fields it does not know are left out. Faults are added to `faults`. */
function read(value, schema, place, faults) {
  const wrong = (what) => {
    faults.push(`${place}: ${what}`);
    return value;
  };
  if (schema.$ref) return read(value, definitions[schema.$ref.split("/").pop()], place, faults);
  if (schema.allOf) return read(value, schema.allOf[0], place, faults);
  if (schema.anyOf) {
    for (const choice of schema.anyOf) {
      const found = [];
      const seen = read(value, choice, place, found);
      if (found.length === 0) return seen;
    }
    return wrong("is none of what it may be");
  }
  for (const key of Object.keys(schema)) {
    if (!IGNORED.has(key) && !["type", "enum", "contentEncoding", "items", "properties", "required",
      "additionalProperties"].includes(key)) return wrong(`the schema says ${key}, which this reader does not know`);
  }
  if (schema.enum && !schema.enum.includes(value)) return wrong(`${value} is not one of ${schema.enum}`);
  switch (schema.type) {
    case undefined:
      return value;
    case "null":
      return value === null ? value : wrong("is not null");
    case "boolean":
      return typeof value === "boolean" ? value : wrong("is no boolean");
    case "integer":
      return Number.isSafeInteger(value) ? value : wrong("is no integer");
    case "number":
      return typeof value === "number" ? value : wrong("is no number");
    case "string":
      if (value instanceof Uint8Array && schema.contentEncoding === "base64") {
        return Buffer.from(value).toString("base64");
      }
      return typeof value === "string" ? value : wrong("is no string");
    case "array":
      if (!Array.isArray(value)) return wrong("is no array");
      return value.map((item, at) => read(item, schema.items, `${place}[${at}]`, faults));
    case "object": {
      if (value === null || typeof value !== "object" || Array.isArray(value)) return wrong("is no object");
      for (const name of schema.required || []) if (!(name in value)) wrong(`lacks ${name}`);
      const seen = {};
      for (const [name, item] of Object.entries(value)) {
        const known = (schema.properties || {})[name] || schema.additionalProperties;
        if (known) seen[name] = read(item, known, `${place}.${name}`, faults);
      }
      return seen;
    }
    default:
      return wrong(`the schema says type ${schema.type}, which this reader does not know`);
  }
}

function decode(message) {
  const type = (message.headers["content-type"] || "application/msgpack").toString();
  if (type === "application/json") return JSON.parse(message.value.toString("utf8"));
  if (type === "application/msgpack") return msgpack.decode(message.value);
  throw new Error(`content type ${type}`);
}

function line(topic, partition, message) {
  const told = { topic, partition, offset: Number(message.offset), key: message.key.toString("utf8") };
  if (message.value === null) return { ...told, kind: null, value: null, faults: [] };
  const value = decode(message);
  const tried = kinds.get(topic).map((kind) => {
    const faults = [];
    return { ...told, kind, value: read(value, definitions[kind], kind, faults), faults };
  });
  return tried.find((one) => one.faults.length === 0) || tried[0];
}

async function main() {
  const kafka = new Kafka({ brokers: [server], clientId: "reader", logLevel: logLevel.ERROR });
  const admin = kafka.admin();
  await admin.connect();
  const { topics } = await admin.fetchTopicMetadata({ topics: [...kinds.keys()] });
  await admin.disconnect();
  const open = new Set(topics.flatMap((topic) => topic.partitions.map((one) => `${topic.name}/${one.partitionId}`)));
  const consumer = kafka.consumer({ groupId: `${prefix}.javascript`, maxWaitTimeInMs: 200, allowAutoTopicCreation: false });
  await consumer.connect();
  await consumer.subscribe({ topics: [...kinds.keys()], fromBeginning: true });
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, (event) => reject(event.payload.error));
    consumer.run({
      eachMessage: async ({ topic, partition, message }) => {
        if (message.value === null && message.key.toString() === endKey) open.delete(`${topic}/${partition}`);
        else process.stdout.write(`${JSON.stringify(line(topic, partition, message))}\n`);
        if (open.size === 0) resolve();
      },
    });
  });
  await consumer.disconnect();
}

main().then(() => process.exit(0), (error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
