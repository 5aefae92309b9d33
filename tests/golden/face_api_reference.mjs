// Answers of the original runtime for the pictures of test_face_api.py, as face_api.json holds them.
// In a throw-away folder: npm install @tensorflow/tfjs@4.22.0 @vladmandic/face-api@1.7.15, make
// node_modules/@tensorflow/tfjs-node/index.js export require('@tensorflow/tfjs'), then
// node face_api_reference.mjs PICTURES.bin face_api.json, PICTURES.bin being n x 112 x 112 x 3 bytes, RGB.
import fs from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(`${process.cwd()}/`);
const faceapi = require('@vladmandic/face-api/dist/face-api.node.js');
const tf = faceapi.tf;
await tf.setBackend('cpu');
await tf.ready();
const folder = 'node_modules/@vladmandic/face-api/model/face_expression_model';
const [manifest] = JSON.parse(fs.readFileSync(`${folder}-weights_manifest.json`));
const net = new faceapi.FaceExpressionNet();
net.loadFromWeightMap(tf.io.decodeWeights(new Uint8Array(fs.readFileSync(`${folder}.bin`)).buffer, manifest.weights));

const bytes = fs.readFileSync(process.argv[2]);
const each = 112 * 112 * 3;
const answers = [];
for (let start = 0; start < bytes.length; start += each) {
  const picture = tf.tensor4d(new Float32Array(bytes.subarray(start, start + each)), [1, 112, 112, 3]);
  const input = await faceapi.toNetInput(picture);
  const features = net.faceFeatureExtractor.forwardInput(input).dataSync();
  const probs = net.forwardInput(input).dataSync();
  const short = (values) => Array.from(values, (value) => Number(value.toPrecision(7)));
  answers.push({ features: short(features), probs: short(probs) });
}
fs.writeFileSync(process.argv[3], `${JSON.stringify({ runtime: `tfjs ${tf.version.tfjs} ${tf.getBackend()}`, answers })}\n`);
