// A kept program without any package: a line of JSON for each job, a line of JSON for each answer.
const lines = require('node:readline').createInterface({ input: process.stdin });

function describe({ numbers }) {
  if (numbers.length === 0) throw new Error('there are no numbers');
  const sum = numbers.reduce((a, b) => a + b, 0);
  return { count: numbers.length, sum, mean: sum / numbers.length };
}

lines.on('line', (line) => {
  const job = JSON.parse(line);
  if (job.cancel) return; // too short to be stopped
  let answer;
  try {
    answer = { result: describe(job.args[0]) };
  } catch (error) {
    answer = { error: { message: error.message, code: 'bad_numbers', final: true } };
  }
  process.stdout.write(JSON.stringify({ id: job.id, ...answer }) + '\n');
});
