const nexus = require('nexus-rpc');

exports.clerk = nexus.service('clerk', { echo: nexus.operation(), child: nexus.operation() });
