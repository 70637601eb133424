// Runs one Lambda function once: `node run_function.cjs FOLDER FILE.EXPORT`, the event on standard input.
const http = require("http");
const https = require("https");
const path = require("path");
const fs = require("fs");

const [folder, name] = process.argv.slice(2);
const [file, exported] = name.split(".");
const event = JSON.parse(fs.readFileSync(0, "utf8"));

// CloudFormation is answered by HTTPS on its usual port, which nobody on this machine may listen on.
const { port } = new URL(event.ResponseURL);
https.request = (options, answered) => http.request({ ...options, protocol: "http:", port }, answered);

require(path.join(folder, file))[exported](event, {}).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
