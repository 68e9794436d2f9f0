// sharp behind Node's own HTTP server: POST /thumbnail?w=320 and GET /healthz. Prints its port.
const http = require('node:http');
const sharp = require('sharp');

sharp.cache(false);

http.createServer((request, response) => {
  if (request.url === '/healthz') {
    response.setHeader('Content-Length', 2);
    response.end('ok');
    return;
  }
  const width = Number(new URL(request.url, 'http://x').searchParams.get('w'));
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', async () => {
    try {
      const picture = await sharp(Buffer.concat(parts)).rotate().resize(width).jpeg({ quality: 80 }).toBuffer();
      response.setHeader('Content-Type', 'image/jpeg');
      response.setHeader('Content-Length', picture.length);
      response.end(picture);
    } catch (error) {
      response.statusCode = 415;
      response.setHeader('Content-Length', 0);
      response.end();
    }
  });
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
